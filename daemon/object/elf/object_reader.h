#pragma once
/* object_reader: what the parts of object.c share while a file is being read. */
#include <gelf.h>
#include <libelf.h>

#include "object.h"

struct object_reader {
	int fd;
	uint64_t file_size;
	Elf *elf;
	struct object *object;
	const struct object *before; /* of the same file, or NULL */
	const char **names;	     /* sorted by strcmp; without patterns */
	size_t name_count;
	const char **patterns;
	size_t pattern_count;
	size_t address_count; /* of object's symbols the first, asked for by address */
	bool has_interp, has_needed, has_dynsym, is_pie, has_sections;
	/* of the dynamic segment: addresses, and sizes in bytes; 0: none */
	uint64_t strtab, strtab_size, symtab, hash, gnu_hash;
	uint64_t rela, rela_size, jmprel, jmprel_size;
	/* IFUNC resolvers of memset and its like; see OBJECT_RETURNS_ARGUMENT */
	uint64_t resolvers[16];
	size_t resolver_count;
};

#define OBJECT_MAX_TABLE_BYTES (1ull << 30)

/* The file offset of an address, whatever the segment; the rest of the segment in *ret_left. */
bool object_offset_of_data(const struct object *object, uint64_t vaddr, uint64_t *ret_offset,
			   uint64_t *ret_left);

/* object_symbols.c: list what is wanted of the symbols: names are as object_describe() takes them.
 */
int object_read_symbols(struct object_reader *r, const char *const *names);
/* List a function; its code is read. 0 also when the address is no code of this file. */
int object_add_symbol(struct object_reader *r, const char *name, const GElf_Sym *sym,
		      bool is_exported);

/* Functions that never return, by name and by address. */
bool object_is_noreturn_name(const char *name);
int object_add_noreturn(struct object *object, uint64_t vaddr);

/* memset, memcpy, memmove. */
bool object_returns_argument(const char *name);

/* List what the functions found jump to outside of themselves, and what that jumps to. */
int object_add_tails(struct object_reader *r);
