#pragma once
/* jit_reader: a file read once from its beginning to its end, with what is wanted of it. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where in the file the name of some code is. */
struct jit_code {
	uint64_t name_at;
	uint64_t hash;	    /* of the name */
	uint32_t name_size; /* 0: not found yet */
	/* of code that came from elsewhere: its number, and where in the file that stands; 0 */
	uint64_t moved_code, moved_at;
};

#define JIT_CODES 2

/* One address that is looked for, and what was there while it was on stacks. */
struct jit_place {
	uint64_t addr, first_ns, last_ns;
	uint32_t query;
	uint32_t code_count;
	bool had_others; /* before those */
	struct jit_code codes[JIT_CODES];
};

struct jit_reader {
	int fd;
	struct jit_place *places; /* by addr */
	uint32_t count;
	uint64_t claims;	 /* a bound for entries that cover everything, again and again */
	struct jit_code **moved; /* those in places whose name is looked up by their number */
	uint32_t moved_count;
	/* bytes [at, at + size) of the file are in buffer */
	uint8_t *buffer;
	uint64_t at;
	size_t size;
};

#define JIT_BUFFER_BYTES (1u << 20)
#define JIT_MAX_CLAIMS (64ull << 20)

/* `wanted` bytes of the file from `at` on, or as many as there are; at most JIT_BUFFER_BYTES.
 * *ret_size: how many; NULL on an error. Valid until the next call. */
const uint8_t *jit_bytes(struct jit_reader *reader, uint64_t at, size_t wanted, size_t *ret_size);

/* An entry of the file: code that has come to [start, start + size). */
struct jit_entry {
	uint64_t start, size;
	uint64_t since_ns;   /* JIT_AT_ANY_TIME */
	uint64_t name_at;    /* where name stands in the file */
	const uint8_t *name; /* NULL: it has moved, and which name it has is looked up later */
	size_t name_size;    /* more than JIT_MAX_NAME_BYTES: there may be fewer bytes in name */
	uint64_t moved_code, moved_at;
};

#define JIT_AT_ANY_TIME UINT64_MAX

void jit_claim(struct jit_reader *reader, const struct jit_entry *entry);

/* 0, or -errno. */
int jit_read_map(struct jit_reader *reader);
bool jit_is_dump(const uint8_t *bytes, size_t size);
int jit_read_dump(struct jit_reader *reader);
