#pragma once
/* jit_reader: a file read once from its beginning to its end, with what is wanted of it. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One address that is looked for, and where in the file its name is. */
struct jit_place {
	uint64_t addr;
	uint32_t query;
	uint32_t name_size; /* 0: not found yet */
	uint64_t name_at;
	/* of code that came there from elsewhere: its number, and where in the file that stands; 0
	 */
	uint64_t moved_code, moved_at;
};

struct jit_reader {
	int fd;
	struct jit_place *places; /* by addr */
	uint32_t count;
	uint64_t claims; /* a bound for entries that cover everything, again and again */
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

/* An entry of the file: the places in it get this name. */
void jit_claim(struct jit_reader *reader, uint64_t start, uint64_t size, uint64_t name_at,
	       size_t name_size);

/* The same of code that has moved: which name it has is looked up by its number, later. */
void jit_claim_moved(struct jit_reader *reader, uint64_t start, uint64_t size, uint64_t code,
		     uint64_t moved_at);

/* 0, or -errno. Places are in any order behind it. */
int jit_read_map(struct jit_reader *reader);
bool jit_is_dump(const uint8_t *bytes, size_t size);
int jit_read_dump(struct jit_reader *reader);
