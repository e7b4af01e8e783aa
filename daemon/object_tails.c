#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../proto/cleanup.h"
#include "object_reader.h"
#include "prologue.h"

/* A PLT entry: [endbr64] [bnd] jmp *slot(%rip). Returns the slot's address, 0 if it is none. */
static uint64_t stub_slot(const struct object_symbol *code)
{
	const uint8_t *p = code->code, *end = p + code->code_size;
	int32_t distance;

	if (end - p >= 4 && !memcmp(p, "\xf3\x0f\x1e\xfa", 4))
		p += 4;
	if (end - p >= 1 && *p == 0xf2)
		p++;
	if (end - p < 6 || p[0] != 0xff || p[1] != 0x25)
		return 0;
	memcpy(&distance, p + 2, 4);
	return code->vaddr + (p + 6 - code->code) + distance;
}

/* The function that dynamic symbol `index` defines here; 0 if it is not defined here. */
static uint64_t dynamic_symbol_value(const struct object_reader *r, uint64_t index)
{
	uint64_t offset, left;
	Elf64_Sym sym;

	if (index > UINT32_MAX ||
	    !object_offset_of_data(r->desc, r->symtab + index * sizeof(sym), &offset, &left) ||
	    left < sizeof(sym) || pread(r->fd, &sym, sizeof(sym), offset) != sizeof(sym))
		return 0;
	if (sym.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(sym.st_info) != STT_FUNC)
		return 0;
	return sym.st_value;
}

/* Where a GOT slot will point, by its relocation (psABI 4.4.1), if that is in this object. */
static uint64_t slot_target(struct object_reader *r, uint64_t slot)
{
	const uint64_t tables[2][2] = { { r->jmprel, r->jmprel_size }, { r->rela, r->rela_size } };
	uint64_t offset, left;
	GElf_Rela rela;
	Elf_Data *data;
	int t, i;

	for (t = 0; t < 2; t++) {
		if (tables[t][1] == 0 || tables[t][1] > OBJECT_MAX_TABLE_BYTES ||
		    !object_offset_of_data(r->desc, tables[t][0], &offset, &left) ||
		    left < tables[t][1])
			continue;
		data = elf_getdata_rawchunk(r->elf, offset, tables[t][1], ELF_T_RELA);
		for (i = 0; data && gelf_getrela(data, i, &rela); i++) {
			if (rela.r_offset != slot)
				continue;
			if (GELF_R_TYPE(rela.r_info) == R_X86_64_JUMP_SLOT ||
			    GELF_R_TYPE(rela.r_info) == R_X86_64_GLOB_DAT)
				return dynamic_symbol_value(r, GELF_R_SYM(rela.r_info));
			return GELF_R_TYPE(rela.r_info) == R_X86_64_RELATIVE ? rela.r_addend : 0;
		}
	}
	return 0;
}

static bool is_listed(const struct object_desc *desc, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < desc->symbol_count; i++)
		if (desc->symbols[i].vaddr == vaddr)
			return true;
	return false;
}

static int add_code(struct object_reader *r, uint64_t vaddr)
{
	GElf_Sym sym = { .st_value = vaddr, .st_info = GELF_ST_INFO(STB_LOCAL, STT_FUNC) };

	return is_listed(r->desc, vaddr) ? 0 : object_add_symbol(r, "", &sym, false);
}

static int add_stub(struct object_reader *r, uint64_t vaddr, uint64_t target)
{
	struct object_stub *grown =
		reallocarray(r->desc->stubs, r->desc->stub_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	r->desc->stubs = grown;
	grown[r->desc->stub_count++] = (struct object_stub){ vaddr, target };
	return add_code(r, target);
}

/* symbol i may move while others are added: so by index. */
static int add_tails_of(struct object_reader *r, size_t i)
{
	_cleanup_(prologue_exits_deinit) struct prologue_exits exits = { 0 };
	const struct object_symbol *symbol = &r->desc->symbols[i];
	uint64_t slot = stub_slot(symbol), target, vaddr = symbol->vaddr;
	size_t k;
	int result;

	if (slot) {
		target = slot_target(r, slot);
		return target ? add_stub(r, vaddr, target) : 0;
	}
	result = prologue_find_exits(symbol->code, symbol->code_size, vaddr, &exits);
	if (result < 0)
		return result == -ENOMEM ? result : 0;
	for (k = 0; k < exits.tail_count; k++) {
		result = add_code(r, exits.tails[k]);
		if (result < 0)
			return result;
	}
	return 0;
}

int object_add_tails(struct object_reader *r)
{
	size_t i, wanted = r->desc->symbol_count;
	int result;

	for (i = 0; i < r->desc->symbol_count && r->desc->symbol_count < wanted + OBJECT_MAX_TAILS;
	     i++) {
		result = add_tails_of(r, i);
		if (result < 0)
			return result;
	}
	return 0;
}
