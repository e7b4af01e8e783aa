/* Code made at run time calls malloc, and says what it is called: jit map|dump|none [ROUNDS].
 *
 *   map    in /tmp/perf-PID.map
 *   dump   in jit-PID.dump of the current folder, which it maps as perf wants it
 *
 * It has a frame pointer. Blocks of 1000 bytes come through jitted_first, of 1001 through
 * jitted_second, which lies where a function called jitted_gone has been before; in the dump it has
 * moved there, and it says when.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "ledger.h"

typedef void *(*function)(size_t size_bytes);

#define CODE_BYTES 64

/* push %rbp; mov %rsp,%rbp; mov $malloc,%rax; call *%rax; pop %rbp; ret */
static function make_code(uint8_t *at)
{
	static const uint8_t before[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8 };
	static const uint8_t after[] = { 0xff, 0xd0, 0x5d, 0xc3 };
	uint64_t callee = (uintptr_t)malloc;

	memcpy(at, before, sizeof(before));
	memcpy(at + sizeof(before), &callee, sizeof(callee));
	memcpy(at + sizeof(before) + sizeof(callee), after, sizeof(after));
	return (function)at;
}

static void write_map(const uint8_t *first, const uint8_t *second)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	file = fopen(path, "w");
	CHECK(file);
	fprintf(file, "%lx %x jitted_gone\n", (unsigned long)second, CODE_BYTES);
	fprintf(file, "%lx %x jitted_first\n", (unsigned long)first, CODE_BYTES);
	fprintf(file, "0x%lx 0x%x jitted_second in:main.js:7\n", (unsigned long)second, CODE_BYTES);
	fprintf(file, "%lx %x jitted_unfinished", (unsigned long)first, CODE_BYTES);
	CHECK(fclose(file) == 0);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* tools/perf/Documentation/jitdump-specification.txt */
static void write_load(FILE *file, const char *name, const uint8_t *code, uint64_t index)
{
	struct {
		uint32_t id, total_size;
		uint64_t timestamp;
		uint32_t pid, tid;
		uint64_t vma, addr, size, index;
	} load = {
		.total_size = (uint32_t)(sizeof(load) + strlen(name) + 1 + CODE_BYTES),
		.timestamp = now_ns(),
		.pid = (uint32_t)getpid(),
		.tid = (uint32_t)getpid(),
		.vma = (uintptr_t)code,
		.addr = (uintptr_t)code,
		.size = CODE_BYTES,
		.index = index,
	};

	CHECK(fwrite(&load, sizeof(load), 1, file) == 1);
	CHECK(fwrite(name, strlen(name) + 1, 1, file) == 1);
	CHECK(fwrite(code, CODE_BYTES, 1, file) == 1);
}

/* Code number index is where it was not before. */
static void write_move(FILE *file, const uint8_t *from, const uint8_t *to, uint64_t index)
{
	struct {
		uint32_t id, total_size;
		uint64_t timestamp;
		uint32_t pid, tid;
		uint64_t vma, from, to, size, index;
	} move = {
		.id = 1,
		.total_size = sizeof(move),
		.timestamp = now_ns(),
		.pid = (uint32_t)getpid(),
		.tid = (uint32_t)getpid(),
		.vma = (uintptr_t)to,
		.from = (uintptr_t)from,
		.to = (uintptr_t)to,
		.size = CODE_BYTES,
		.index = index,
	};

	CHECK(fwrite(&move, sizeof(move), 1, file) == 1);
}

static void write_dump(const uint8_t *first, const uint8_t *second)
{
	struct {
		uint32_t magic, version, total_size, elf_machine, pad, pid;
		uint64_t timestamp, flags;
	} head = { 0x4a695444, 1, sizeof(head), 62, 0, (uint32_t)getpid(), 0, 0 };
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "jit-%d.dump", (int)getpid());
	file = fopen(path, "w+");
	CHECK(file);
	CHECK(fwrite(&head, sizeof(head), 1, file) == 1);
	write_load(file, "jitted_gone", second, 0);
	write_load(file, "jitted_first", first, 1);
	write_load(file, "jitted_second in:main.js:7", second + CODE_BYTES, 2);
	write_move(file, second + CODE_BYTES, second, 2);
	CHECK(fflush(file) == 0);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(file), 0) != MAP_FAILED);
}

static __attribute__((noinline)) void call(function f, size_t size_bytes)
{
	void *p = f(size_bytes);

	OPAQUE(p);
	CHECK(p);
	ledger_add(size_bytes);
}

int main(int argc, char **argv)
{
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	function first, second;
	int own = target_begin(argc, argv);
	const char *how = own < argc ? argv[own] : "map";
	long rounds = arg_number(argc, argv, own + 1, 10);

	CHECK(code != MAP_FAILED);
	first = make_code(code);
	second = make_code(code + CODE_BYTES);
	if (!strcmp(how, "map"))
		write_map(code, code + CODE_BYTES);
	else if (!strcmp(how, "dump"))
		write_dump(code, code + CODE_BYTES);
	say("{\"wrote\":\"%s\"}\n", how);
	for (long i = 0; i < rounds; i++) {
		call(first, 1000);
		call(second, 1001);
	}
	return target_end("");
}
