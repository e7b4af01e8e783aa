#include "daemon/object/machine/arguments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "code.h"
#include "proto/base/cleanup.h"
#include "values.h"

/* psABI 3.2.3: rdi rsi rdx rcx r8 r9 */
static const uint8_t registers[PROLOGUE_ARGS] = { 7, 6, 2, 1, 8, 9 };

struct bytes {
	const uint8_t *code;
	size_t size;
	uint64_t vaddr;
};

static bool fetch(void *context, uint64_t vaddr, const uint8_t **ret_code, size_t *ret_size)
{
	const struct bytes *bytes = context;
	uint64_t offset = vaddr - bytes->vaddr;

	if (offset >= bytes->size)
		return false;
	*ret_code = bytes->code + offset;
	*ret_size = bytes->size - offset;
	return true;
}

static void read_registers(const struct values *values, uint8_t ret[PROLOGUE_ARGS])
{
	for (int i = 0; i < PROLOGUE_ARGS; i++)
		if (values->reg[registers[i]].kind == VALUE_ARGUMENT)
			ret[i] = values->reg[registers[i]].number;
}

/* Where it jumps to is an instruction of this code like others, of which nothing more is known. */
int arguments_handed_on(const uint8_t *code, size_t size, uint64_t vaddr, uint64_t target,
			uint8_t ret[PROLOGUE_ARGS])
{
	struct bytes bytes = { code, size, vaddr };
	const struct code_source source = { .fetch = fetch, .context = &bytes };
	_cleanup_(code_deinit) struct code followed = { 0 };
	_cleanup_free_ struct values *values = NULL;
	int error = code_follow(&source, vaddr, &followed);

	memset(ret, PROLOGUE_LOST, PROLOGUE_ARGS);
	if (error)
		return error == -ENOMEM ? error : 0;
	values = calloc(followed.count, sizeof(*values));
	if (!values)
		return -ENOMEM;
	error = values_at_entry(&followed, (struct value){ 0 }, values);
	for (uint32_t i = 0; i < followed.count && error == 0; i++)
		if (followed.list[i].vaddr == target && values[i].is_reached)
			read_registers(&values[i], ret);
	return error;
}
