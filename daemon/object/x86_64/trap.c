#include "daemon/object/machine/trap.h"

#include <string.h>

const uint8_t trap_byte = 0xcc; /* int3 */

/* What uprobes of 6.18 and 7.2 make a call of: arch/x86/kernel/uprobes.c. */
static const uint8_t nop5[] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
static const uint8_t nop10[] = { 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 };
static const uint8_t lea_call[] = { 0x48, 0x8d, 0x64, 0x24, 0x80, 0xe8 }; /* lea -128(%rsp), call */
#define CALL 0xe8

/* A call ends where the nop did, with its distance from there. */
static size_t call_over(size_t size, const uint8_t *memory, uint64_t addr, uint64_t *ret_target)
{
	int32_t distance;

	memcpy(&distance, memory + size - sizeof(distance), sizeof(distance));
	*ret_target = addr + size + distance;
	return size;
}

size_t trap_call(const uint8_t *memory, const uint8_t *file, size_t size, uint64_t addr,
		 uint64_t *ret_target)
{
	if (size >= sizeof(nop5) && !memcmp(file, nop5, sizeof(nop5)) && memory[0] == CALL)
		return call_over(sizeof(nop5), memory, addr, ret_target);
	if (size >= sizeof(nop10) && !memcmp(file, nop10, sizeof(nop10)) &&
	    !memcmp(memory, lea_call, sizeof(lea_call)))
		return call_over(sizeof(nop10), memory, addr, ret_target);
	return 0;
}
