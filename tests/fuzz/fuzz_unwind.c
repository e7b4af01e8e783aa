/* The unwinder over any rows, any registers and any stack: it ends, with a reason, and keeps to its
 * frames. Input: registers, then rows, then the stack. */
#include "fuzz.h"
#include "tests/unit/unwind_host.h"

#define CODE 0x400000
#define STACK 0x7ffd00000000
#define MAX_ROWS 64
#define PAGES 2

static const uint8_t *stack;
static size_t stack_size;

static int host_copy(void *dst, uint32_t size, uint64_t addr)
{
	if (addr >= CODE - 8 && addr < CODE + 0x20000) { /* the end of a call, in half of it */
		memset(dst, addr & 1 ? 0xe8 : 0x90, size);
		return 0;
	}
	if (addr < STACK || addr - STACK > stack_size || size > stack_size - (addr - STACK))
		return -1;
	memcpy(dst, stack + (addr - STACK), size);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t registers[4],
		words[2 + PAGES + MAX_ROWS] = { PAGES | (uint64_t)MAX_ROWS << 32, 0 };
	struct cfi_table table = { .words = words, .word_count = 2 + PAGES + MAX_ROWS };
	uint64_t hash;
	uint32_t stop, i;

	if (size < sizeof(registers) + 8 * MAX_ROWS)
		return 0;
	memcpy(registers, data, sizeof(registers));
	memcpy(words + 2 + PAGES, data + sizeof(registers), 8 * MAX_ROWS);
	words[2] = registers[3] & 0xff;
	words[3] = registers[3] >> 8 & 0xff;
	stack = data + sizeof(registers) + 8 * MAX_ROWS;
	stack_size = size - sizeof(registers) - 8 * MAX_ROWS;
	host_reset();
	host_map(CODE, CODE + 0x20000, CODE, &table);
	stop = host_unwind(registers[0], registers[1], registers[2], registers[3] >> 63);
	FUZZ_CHECK(stop < DHAT_STOP_COUNT);
	FUZZ_CHECK(host_scratch.frame_count >= 1 && host_scratch.frame_count <= DHAT_MAX_DEPTH);
	FUZZ_CHECK(host_scratch.frames[0] == registers[0] ||
		   host_scratch.frames[0] == (registers[0] | DHAT_FRAME_EXACT_PC));
	hash = host_hash;
	i = host_scratch
		    .frame_count; /* the same again: what a walk leaves behind does not matter */
	FUZZ_CHECK(host_unwind(registers[0], registers[1], registers[2], registers[3] >> 63) ==
		   stop);
	FUZZ_CHECK(host_scratch.frame_count == i && host_hash == hash);
	return 0;
}
