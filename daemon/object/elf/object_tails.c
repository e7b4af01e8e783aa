#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/object/machine/flow.h"
#include "daemon/object/machine/machine.h"
#include "daemon/object/machine/plt.h"
#include "object_reader.h"
#include "proto/base/cleanup.h"

#define MAX_NORETURN 128 /* addresses; more are of no use: the list below is shorter */

/* Sorted by strcmp. Behind a call of these a compiler lets other code follow. */
static const char *const noreturn_names[] = {
	"_Exit",
	"_Unwind_Resume",
	"_ZSt17__throw_bad_allocv",
	"_ZSt20__throw_length_errorPKc",
	"_ZSt28__throw_bad_array_new_lengthv",
	"_ZSt9terminatev",
	"__GI_abort",
	"__assert_fail",
	"__chk_fail",
	"__clang_call_terminate",
	"__cxa_bad_cast",
	"__cxa_rethrow",
	"__cxa_throw",
	"__cxa_throw_bad_array_new_length",
	"__fortify_fail",
	"__libc_fatal",
	"__stack_chk_fail",
	"_exit",
	"abort",
	"exit",
};

static int compare_name(const void *key, const void *member)
{
	const char *name = key, *known = *(const char *const *)member;
	size_t size = strcspn(name, "@");
	int order = strncmp(name, known, size);

	return order == 0 && known[size] ? -1 : order;
}

bool object_is_noreturn_name(const char *name)
{
	return (name[0] == '_' || name[0] == 'a' || name[0] == 'e') &&
	       bsearch(name, noreturn_names, ARRAY_SIZE(noreturn_names), sizeof(char *),
		       compare_name);
}

bool object_returns_argument(const char *name)
{
	static const char *const names[] = { "memset", "memcpy", "memmove" };
	size_t i, size = strcspn(name, "@");

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == size && !strncmp(names[i], name, size))
			return true;
	return false;
}

int object_add_noreturn(struct object *object, uint64_t vaddr)
{
	uint64_t *grown;

	if (object->noreturn_count == MAX_NORETURN)
		return 0;
	grown = reallocarray(object->noreturn, object->noreturn_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	object->noreturn = grown;
	grown[object->noreturn_count++] = vaddr;
	return 0;
}

/* ---- PLT entries -------------------------------------------------------------------------- */

/* Where a GOT slot will point, as far as this object tells. */
struct slot {
	uint64_t target; /* a function defined here; 0: not here */
	bool is_noreturn;
};

static void read_name(const struct object_reader *r, uint64_t index, char *ret, size_t size)
{
	uint64_t offset, left;
	ssize_t n = 0;

	if (index < r->strtab_size &&
	    object_offset_of_data(r->object, r->strtab + index, &offset, &left))
		n = pread(r->fd, ret, left < size ? left : size, offset);
	ret[n > 0 && (size_t)n == size ? size - 1 : n > 0 ? n : 0] = '\0';
}

static struct slot dynamic_symbol(const struct object_reader *r, uint64_t index)
{
	struct slot slot = { 0 };
	uint64_t offset, left;
	char name[64];
	Elf64_Sym sym;

	if (index > UINT32_MAX ||
	    !object_offset_of_data(r->object, r->symtab + index * sizeof(sym), &offset, &left) ||
	    left < sizeof(sym) || pread(r->fd, &sym, sizeof(sym), offset) != sizeof(sym))
		return slot;
	if (sym.st_shndx != SHN_UNDEF && ELF64_ST_TYPE(sym.st_info) == STT_FUNC)
		slot.target = sym.st_value;
	read_name(r, sym.st_name, name, sizeof(name));
	slot.is_noreturn = object_is_noreturn_name(name);
	if (object_returns_argument(name))
		slot.target = OBJECT_RETURNS_ARGUMENT;
	return slot;
}

static bool is_resolver(const struct object_reader *r, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < r->resolver_count; i++)
		if (r->resolvers[i] == vaddr)
			return true;
	return false;
}

/* By the slot's relocation. */
static struct slot slot_at(struct object_reader *r, uint64_t vaddr)
{
	const uint64_t tables[2][2] = { { r->jmprel, r->jmprel_size }, { r->rela, r->rela_size } };
	struct slot slot = { 0 };
	uint64_t offset, left;
	GElf_Rela rela;
	Elf_Data *data;
	int t, i;

	for (t = 0; t < 2; t++) {
		if (tables[t][1] == 0 || tables[t][1] > OBJECT_MAX_TABLE_BYTES ||
		    !object_offset_of_data(r->object, tables[t][0], &offset, &left) ||
		    left < tables[t][1])
			continue;
		data = elf_getdata_rawchunk(r->elf, offset, tables[t][1], ELF_T_RELA);
		for (i = 0; data && gelf_getrela(data, i, &rela); i++) {
			uint32_t type = GELF_R_TYPE(rela.r_info);

			if (rela.r_offset != vaddr)
				continue;
			if (type == this_machine.relocation_function ||
			    type == this_machine.relocation_symbol)
				return dynamic_symbol(r, GELF_R_SYM(rela.r_info));
			if (type == this_machine.relocation_base)
				slot.target = rela.r_addend;
			if (type == this_machine.relocation_chosen && is_resolver(r, rela.r_addend))
				slot.target = OBJECT_RETURNS_ARGUMENT;
			return slot;
		}
	}
	return slot;
}

/* ---- tails -------------------------------------------------------------------------------- */

static bool is_listed(const struct object *object, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < object->symbol_count; i++)
		if (object->symbols[i].vaddr == vaddr)
			return true;
	return false;
}

static int add_code(struct object_reader *r, uint64_t vaddr)
{
	GElf_Sym sym = { .st_value = vaddr, .st_info = GELF_ST_INFO(STB_LOCAL, STT_FUNC) };

	return is_listed(r->object, vaddr) ? 0 : object_add_symbol(r, "", &sym, false);
}

static int add_stub(struct object_reader *r, uint64_t vaddr, uint64_t target)
{
	struct object_stub *grown =
		reallocarray(r->object->stubs, r->object->stub_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	r->object->stubs = grown;
	grown[r->object->stub_count++] = (struct object_stub){ vaddr, target };
	return target == OBJECT_RETURNS_ARGUMENT ? 0 : add_code(r, target);
}

static bool is_stub(const struct object *object, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < object->stub_count; i++)
		if (object->stubs[i].vaddr == vaddr)
			return true;
	return false;
}

/* Which of the functions called are PLT entries: of functions that do not return, or are listed. */
static int add_called_stubs(struct object_reader *r, const struct flow *flow)
{
	uint64_t offset, left, slot;
	uint8_t code[16];
	struct slot at;
	size_t i;
	int result = 0;

	for (i = 0; i < flow->call_count && result == 0; i++) {
		if (!object_offset_of_data(r->object, flow->calls[i], &offset, &left) ||
		    left < sizeof(code) || pread(r->fd, code, sizeof(code), offset) != sizeof(code))
			continue;
		slot = plt_slot(code, sizeof(code), flow->calls[i]);
		if (!slot || is_stub(r->object, flow->calls[i]))
			continue;
		at = slot_at(r, slot);
		if (at.is_noreturn)
			result = object_add_noreturn(r->object, flow->calls[i]);
		else if (at.target && at.target != OBJECT_RETURNS_ARGUMENT &&
			 is_listed(r->object, at.target))
			result = add_stub(r, flow->calls[i], at.target);
	}
	return result;
}

/* symbol i may move while others are added: so by index. */
static int add_tails_of(struct object_reader *r, size_t i)
{
	const struct object_symbol *symbol = &r->object->symbols[i];
	_cleanup_(flow_deinit) struct flow first = { 0 }, flow = { 0 };
	uint64_t slot, target;
	size_t k;
	int result;

	if (symbol->code_size == 0)
		return 0;
	slot = plt_slot(symbol->code, symbol->code_size, symbol->vaddr);
	if (slot) {
		target = slot_at(r, slot).target;
		return target ? add_stub(r, symbol->vaddr, target) : 0;
	}
	result = flow_follow(symbol->code, symbol->code_size, symbol->vaddr, r->object->noreturn,
			     r->object->noreturn_count, &first);
	if (result == 0)
		result = add_called_stubs(r, &first);
	if (result == 0)
		result = flow_follow(symbol->code, symbol->code_size, symbol->vaddr,
				     r->object->noreturn, r->object->noreturn_count, &flow);
	for (k = 0; k < flow.tail_count && result == 0; k++)
		result = add_code(r, flow.tails[k].target);
	return result;
}

int object_add_tails(struct object_reader *r)
{
	size_t i, wanted = r->object->symbol_count;
	int result;

	for (i = 0;
	     i < r->object->symbol_count && r->object->symbol_count < wanted + OBJECT_MAX_TAILS;
	     i++) {
		result = add_tails_of(r, i);
		if (result < 0)
			return result;
	}
	return 0;
}
