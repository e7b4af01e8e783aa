#pragma once
/* object_desc: what of an ELF file is of interest to those who may not read it.
 *
 * Plain: made in the worker (object.h), checked where it comes out of there (worker_pack.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object_segment { /* a PT_LOAD; what lies beyond the end of the file is cut off */
	uint64_t vaddr, file_offset, file_size, memory_size;
	bool is_executable, is_writable;
};

/* Allocators that leave texts in what they are linked into. The last are those of runtimes, that
 * nobody else uses: they take whole arenas from the kernel, and most of their calls are inlined. */
enum object_maker {
	OBJECT_MAKER_JEMALLOC,
	OBJECT_MAKER_MIMALLOC,
	OBJECT_MAKER_TCMALLOC,
	OBJECT_MAKER_SCUDO,
	OBJECT_MAKER_CPYTHON,
	OBJECT_MAKER_PHP,
	OBJECT_MAKER_ERLANG,
	OBJECT_MAKER_COUNT
};
const char *object_maker_name(unsigned maker);
bool object_maker_is_runtime(unsigned maker);
/* A function of theirs that is called from elsewhere in the file. */
struct object_entry {
	uint64_t vaddr;
	uint32_t calls;	   /* in the code */
	uint16_t maker;	   /* enum object_maker */
	uint16_t is_inner; /* it is called from inside as well */
};
#define OBJECT_MAX_ENTRIES 64

/* Does it copy its own code into other memory? See copiers.h. */
enum copier {
	COPIER_NONE,
	COPIER_MAY, /* if a setting of its says so: ClickHouse, node */
	COPIER_DOES /* at its start, always: BOLT -hugify */
};

struct object_desc {
	uint8_t elf_class; /* ELFCLASS64; of any other class only this and the machine are read */
	uint16_t machine;  /* EM_… */
	bool is_program;   /* something to be started: ET_EXEC, PT_INTERP or DF_1_PIE */
	bool is_static;	   /* a program without PT_INTERP and without needed libraries */
	bool has_symtab;
	bool is_go; /* .go.buildinfo or .gopclntab */
	uint8_t build_id[64];
	size_t build_id_size; /* 0: none */
	char soname[128];
	uint32_t makers; /* bits 1 << enum object_maker: whose texts its read-only data has */
	struct object_entry entries[OBJECT_MAX_ENTRIES]; /* of those; the most called first */
	size_t entry_count;
	/* What it says of itself; looked for only where a symbol or an allocator's texts were
	 * found. */
	char libc_version[32];	 /* "glibc 2.36", "musl"; "" if neither */
	char malloc_version[64]; /* "jemalloc 5.3.0", "gperftools 2.10"; "" if neither */
	enum copier copier;
	char copier_name[64]; /* the function by which it does so; "" if none */
	struct object_segment *segments;
	size_t segment_count;
};

/* What it owns. */
void object_desc_deinit(struct object_desc *desc);
