#pragma once
/* wire: bytes between dhatd and its worker.
 *
 * Pure. A writer grows and remembers its first failure, so that only the end is checked; a reader
 * never reads past its end, whatever the bytes say, and remembers that they were too few. Both ends
 * are the same program on the same machine: numbers travel in host order. Not protobuf: there is no
 * second version to talk to, and tables of megabytes travel as the arrays that they are.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_writer {
	uint8_t *data;
	size_t size, capacity;
	bool is_failed; /* out of memory: nothing more is written */
};

void wire_writer_deinit(struct wire_writer *writer);
void wire_put(struct wire_writer *writer, const void *data, size_t size);
void wire_put_u32(struct wire_writer *writer, uint32_t value);
void wire_put_u64(struct wire_writer *writer, uint64_t value);
void wire_put_bytes(struct wire_writer *writer, const void *data, size_t size); /* with length */
void wire_put_string(struct wire_writer *writer, const char *string);		/* NULL is "" */

struct wire_reader {
	const uint8_t *data;
	size_t size;   /* what is left */
	bool is_short; /* something was asked for that is not there; all else reads as 0 */
};

uint32_t wire_get_u32(struct wire_reader *reader);
uint64_t wire_get_u64(struct wire_reader *reader);
/* NULL and is_short when fewer bytes are left. Points into the reader's bytes. */
const void *wire_get(struct wire_reader *reader, size_t size);
/* A counted run of bytes; *ret_size 0 and NULL when there are too few. */
const void *wire_get_bytes(struct wire_reader *reader, size_t *ret_size);
/* A copy, with its NUL; NULL when there are too few bytes or no memory. The caller frees. */
char *wire_get_string(struct wire_reader *reader);
/* How many elements of at least element_size bytes follow: a count that the bytes left cannot hold
 * is refused (is_short, 0), so that it is safe to allocate by. */
uint32_t wire_get_count(struct wire_reader *reader, size_t element_size);
