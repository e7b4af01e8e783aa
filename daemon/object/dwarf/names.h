#pragma once
/* names: what a batch of addresses of one object is called.
 *
 * Pure. Made inside the worker (naming.h), carried by wire.h, kept by the daemon as long as it
 * wants. Strings are held once each and referred to by number; number 0 is "".
 */
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/interned.h"
#include "proto/base/wire.h"

struct name_query {
	uint64_t file_offset; /* of the address as it stands on the stack */
	bool is_exact_pc;     /* false: a return address, the place is the byte before it */
};

/* A place in code that was made at run time, and the first and the last moment (CLOCK_MONOTONIC) at
 * which it is known to have been on a stack. */
struct jit_query {
	struct name_query place; /* file_offset: the address */
	uint64_t first_ns, last_ns;
};

/* What blocks are: pointees.h. */
#define POINTEES_ROOT UINT32_MAX
#define POINTEES_NOWHERE UINT64_MAX
struct pointee_query {
	/* What points there: a word of a variable, by its file offset (data_naming.h); or one of
	 * the blocks that an earlier query is about, so many bytes behind their beginning. NOWHERE:
	 * at places that differ: elements of an array. */
	uint32_t parent; /* POINTEES_ROOT: a variable */
	uint64_t at;
	uint64_t least_bytes, most_bytes; /* of the blocks that it points to the beginning of */
	uint64_t self_at;		  /* in these: whose name is asked for, too; or NOWHERE */
};

struct name_location {
	uint32_t function, linkage_name, file; /* strings */
	uint32_t line, column;		       /* 0: not known */
};

struct name_frame {
	uint64_t vaddr;		 /* link-time address of file_offset; 0: in no loaded segment */
	uint32_t first_location; /* in locations; most inlined first, the function itself last */
	uint32_t location_count; /* 0: could not be named */
	uint32_t reason;	 /* string: why it has no name, or no line */
};

struct names {
	struct interned texts;
	struct name_location *locations;
	struct name_frame *frames; /* one for each query, in its order */
	uint32_t location_count, frame_count;
	uint8_t build_id[64];
	uint32_t build_id_size;
	uint32_t location_capacity; /* while being made */
};

int names_new(uint32_t frame_count, struct names **ret);
void names_free(struct names *names);

/* Number of a string; made if new. 0 when out of memory (and for NULL or ""). */
uint32_t names_intern(struct names *names, const char *string);
/* Adds a location after the others. -ENOMEM leaves all as it was. */
int names_add_location(struct names *names, const struct name_location *location);

void names_put(struct wire_writer *writer, const struct names *names);
/* -EBADMSG when the bytes are not what names_put() writes for frame_count queries: all numbers in
 * *ret are then in range whoever wrote them. */
int names_get(struct wire_reader *reader, uint32_t frame_count, struct names **ret);
