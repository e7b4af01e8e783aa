#pragma once
/* symtab: which symbol of an ELF file, of its functions or of its variables, covers an address.
 *
 * Runs inside the worker. Symbols may come from several tables (.symtab, .dynsym, the separate
 * debug file's, the mini debug info's); all hold link-time addresses of the same object. Not
 * libdwfl's dwfl_module_addrinfo(): see elffile.h, and of several names of one address it takes the
 * first it meets.
 */
#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symtab_symbol {
	uint64_t vaddr, size_bytes; /* 0 size: up to the next symbol or the end of its section */
	uint64_t section_end, end;
	const char *name; /* belongs to the Elf */
	uint8_t rank;	  /* among names of one address the lowest wins */
};

struct symtab {
	struct symtab_symbol *symbols;
	uint64_t *max_end; /* of the symbols up to and including this one: bounds the search */
	size_t count, capacity;
	bool is_sorted;
};

/* Adds the function symbols of both tables of elf, which must outlive the symtab. -ENOENT: none. */
int symtab_add(struct symtab *symtab, Elf *elf);
/* The same of variables. */
int symtab_add_data(struct symtab *symtab, Elf *elf);
void symtab_deinit(struct symtab *symtab);

/* The innermost symbol that covers vaddr; of several at one address the one a person would use
 * (`malloc`, not `__libc_malloc`). NULL: none. */
const struct symtab_symbol *symtab_find(struct symtab *symtab, uint64_t vaddr);
