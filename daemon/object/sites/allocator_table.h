#pragma once
/* allocator_table: the functions of the known allocators. Part of allocators.c's work. */
#include "allocators.h"

/* The families, in the order in which a name is looked up; the first name of an address wins. */
enum allocator_family {
	FAMILY_PLAIN,	   /* malloc, free, … whoever provides them */
	FAMILY_JEMALLOC,   /* what jemalloc adds under plain names: mallocx … */
	FAMILY_JE,	   /* je_… */
	FAMILY_RJEM,	   /* _rjem_… (Rust's tikv-jemallocator) */
	FAMILY_GPERFTOOLS, /* tc_… */
	FAMILY_MIMALLOC,   /* mi_… */
	FAMILY_OPERATORS,  /* operator new and delete */
	FAMILY_COUNT
};

struct allocator_entry {
	struct allocator_function function;
	uint8_t family;
};

extern const struct allocator_entry allocator_table[];
extern const size_t allocator_table_count;

/* Symbols that tell an allocator from another, and are not probed. */
extern const char *const allocator_marks[];
extern const size_t allocator_mark_count;
