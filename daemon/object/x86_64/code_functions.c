#include "code_functions.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/object/machine/flow.h"
#include "proto/base/array.h"

#define MAX_FUNCTIONS (1u << 20)

static size_t hash(uint64_t addr, size_t slots)
{
	return (size_t)((addr * 0x9e3779b97f4a7c15ULL) >> 32) & (slots - 1); /* 2^64/golden ratio */
}

static int make_room(struct code_functions *functions)
{
	size_t slots = functions->slots ? 2 * functions->slots : 1024, slot, i;
	uint32_t *table;

	if (2 * functions->count < functions->slots)
		return 0;
	table = calloc(slots, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (i = 1; i < functions->count; i++) {
		slot = hash(functions->list[i].entry, slots);
		while (table[slot])
			slot = (slot + 1) & (slots - 1);
		table[slot] = (uint32_t)i;
	}
	free(functions->numbers);
	functions->numbers = table;
	functions->slots = slots;
	return 0;
}

int code_functions_init(struct code_functions *functions, const struct cfi_code *code)
{
	size_t i;
	int r;

	*functions = (struct code_functions){ .code = code };
	r = make_room(functions);
	if (r == 0)
		r = array_make_room(&functions->list, &functions->capacity, functions->count);
	if (r == 0)
		functions->list[functions->count++] = (struct function){ .entry = code->outermost };
	for (i = 0; r == 0 && i < code->entry_count; i++)
		r = code_functions_add(functions, code->entries[i]);
	for (i = 0; r == 0 && i < code->pointer_count; i++)
		r = code_functions_add_pointer(functions, code->pointers[i]);
	if (r < 0)
		code_functions_deinit(functions);
	return r;
}

void code_functions_deinit(struct code_functions *functions)
{
	free(functions->list);
	free(functions->numbers);
	free(functions->calls);
	*functions = (struct code_functions){};
}

const struct cfi_code_range *code_functions_range(const struct code_functions *functions,
						  uint64_t addr)
{
	const struct cfi_code_range *ranges = functions->code->ranges;
	size_t low = 0, high = functions->code->range_count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (ranges[middle].end <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == functions->code->range_count || ranges[low].start > addr)
		return NULL;
	return &ranges[low];
}

uint32_t code_functions_find(const struct code_functions *functions, uint64_t entry)
{
	size_t slot = hash(entry, functions->slots);
	uint32_t number;

	while ((number = functions->numbers[slot])) {
		if (functions->list[number].entry == entry)
			return number;
		slot = (slot + 1) & (functions->slots - 1);
	}
	return 0;
}

/* Nobody calls the outermost code, though it may say that it is a function (musl 1.2.6). */
int code_functions_add(struct code_functions *functions, uint64_t entry)
{
	size_t slot;

	if (!code_functions_range(functions, entry) || entry == functions->code->outermost ||
	    code_functions_find(functions, entry) || functions->count == MAX_FUNCTIONS)
		return 0;
	if (make_room(functions) ||
	    array_make_room(&functions->list, &functions->capacity, functions->count))
		return -ENOMEM;
	slot = hash(entry, functions->slots);
	while (functions->numbers[slot])
		slot = (slot + 1) & (functions->slots - 1);
	functions->numbers[slot] = (uint32_t)functions->count;
	functions->list[functions->count++] = (struct function){ .entry = entry };
	return 0;
}

/* Where compilers align functions, unless they optimise for size; else behind a ret, a jmp, an ud2,
 * padding, or a call that need not return. Labels inside of functions are pointed to as well. */
static bool may_begin(const struct cfi_code_range *range, uint64_t addr)
{
	const uint8_t *at = range->bytes + (addr - range->start);
	uint64_t before = addr - range->start;

	return addr % 16 == 0 || before == 0 || at[-1] == 0xc3 || at[-1] == 0x90 ||
	       at[-1] == 0xcc || (before >= 2 && at[-2] == 0xeb) ||
	       (before >= 2 && at[-2] == 0x0f && at[-1] == 0x0b) ||
	       (before >= 5 && (at[-5] == 0xe9 || at[-5] == 0xe8));
}

/* Behind a jump through a register lie the cases of a switch, which are pointed to, too; and the
 * place where a coroutine library lets stacks begin (Boost.Context's make_fcontext), which does not
 * return. */
#define MAX_ENDLESS_BYTES 4096
static bool begins_a_stack(const struct cfi_code_range *range, uint64_t addr)
{
	const uint8_t *at = range->bytes + (addr - range->start);
	size_t size = range->end - addr;

	size = size < MAX_ENDLESS_BYTES ? size : MAX_ENDLESS_BYTES;
	return addr - range->start >= 2 && at[-2] == 0xff && (at[-1] & 0xf8) == 0xe0 &&
	       flow_is_endless(at, size, addr);
}

int code_functions_add_pointer(struct code_functions *functions, uint64_t addr)
{
	const struct cfi_code_range *range = code_functions_range(functions, addr);

	return range && (may_begin(range, addr) || begins_a_stack(range, addr))
		       ? code_functions_add(functions, addr)
		       : 0;
}

int code_functions_add_call(struct code_functions *functions, uint32_t caller, uint32_t callee)
{
	if (functions->list[callee].state == FUNCTION_DOES_NOT_RETURN || callee == caller)
		return 0;
	if (array_make_room(&functions->calls, &functions->call_capacity, functions->call_count))
		return -ENOMEM;
	functions->calls[functions->call_count++] = (struct function_call){ caller, callee };
	return 0;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

bool code_functions_is_noreturn(const struct code_functions *functions, uint64_t addr)
{
	const struct cfi_code *code = functions->code;

	return code->noreturn_count &&
	       bsearch(&addr, code->noreturn, code->noreturn_count, sizeof(addr), compare);
}

bool code_functions_find_stale(struct code_functions *functions)
{
	size_t i, kept = 0;
	bool is_any = false;

	for (i = 0; i < functions->call_count; i++) {
		struct function_call call = functions->calls[i];

		if (functions->list[call.callee].state == FUNCTION_DOES_NOT_RETURN)
			is_any = functions->list[call.caller].is_stale = true;
		else
			functions->calls[kept++] = call;
	}
	functions->call_count = kept;
	return is_any;
}
