#pragma once
/* object: what an ELF file tells about itself.
 *
 * The file comes from the target's owner and is hostile until proven otherwise: every offset and
 * count is checked before use, nothing is allocated by an unchecked count. Runs inside the worker
 * process (worker.h); here are only bytes of a file in, structs out, of which the daemon gets to
 * see no more than object_desc.h. gABI chapters 4 and 5.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "object_desc.h"
#include "proto/base/error.h"

struct object_symbol {		    /* one that was asked for, and is defined here as a function */
	char *name;		    /* without @VERSION */
	uint64_t vaddr, size_bytes; /* 0 size: not told */
	/* Of one that was asked for by address: where the function begins that holds it, as far as
	 * symbols or (cfi_find_starts()) unwind entries tell; 0: nothing tells. */
	uint64_t start_vaddr;
	uint64_t file_offset;
	uint8_t *code; /* the bytes from its entry on, at most OBJECT_CODE_BYTES */
	size_t code_size;
	bool is_exported; /* from .dynsym */
	bool is_ifunc;	  /* STT_GNU_IFUNC: resolved at run time, the address is the resolver's */
};
#define OBJECT_CODE_BYTES 16384
/* Code that a wanted function jumps to outside of itself (a tail call, a cold part) is listed as a
 * symbol with the name "" and of unknown size, so that all ways out of a function can be found. */
#define OBJECT_MAX_TAILS 512

struct object_stub { /* a PLT entry */
	uint64_t vaddr;
	uint64_t target; /* a function defined here, or OBJECT_RETURNS_ARGUMENT */
};
/* One of memset, memcpy and memmove, wherever they are and whatever the CPU chooses for them: what
 * they return is their first argument, so that a jump to them can be taken for a return. */
#define OBJECT_RETURNS_ARGUMENT UINT64_MAX

/* A function whose name fits a pattern: no more is known of it. */
struct object_sighting {
	char *name;
	bool is_public; /* exported, or global in .symtab and not hidden: for others to call */
};
#define OBJECT_MAX_SIGHTINGS 16384 /* what comes after them is passed over */

#define OBJECT_MAX_SYMBOLS 1024 /* beyond it the file is refused: nobody has so many mallocs */

struct object {
	struct object_desc desc;
	struct object_symbol *symbols;
	size_t symbol_count;
	struct object_sighting *sightings; /* different names, in no order */
	size_t sighting_count;
	struct object_stub *stubs; /* those that wanted functions jump to */
	size_t stub_count;
	uint64_t *noreturn; /* addresses of functions and PLT entries of functions like abort() */
	size_t noreturn_count;
};

/* names: NULL-terminated list of function names to look up in .symtab and .dynsym (or, without
 * section headers, through PT_DYNAMIC), exact names; several symbols at one address are all
 * listed, and so are several versions of one name. A name "+0xADDR" asks for the code at that
 * link-time address, as of a symbol of that name and unknown size. "*END" and "BEGIN*" are
 * patterns: names that end or begin so are listed as sightings. fd stays the caller's. before: the
 * same file, described for other names, of which is taken what does not depend on them; or NULL. */
int object_describe(int fd, const char *const *names, const struct object *before,
		    struct object **ret, struct dhat_error *err);
void object_free(struct object *object);

bool object_offset_of_vaddr(const struct object *object, uint64_t vaddr, uint64_t *ret);
