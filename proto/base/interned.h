#pragma once
/* interned: distinct texts, numbered in the order in which they came; or distinct rows of bytes.
 *
 * Pure. A number stays a text's as long as the table lives. By hand: hsearch(3) cannot grow, and
 * tsearch(3) compares some twenty texts where one hash will do.
 */
#include <stddef.h>
#include <stdint.h>

struct interned {
	char **list; /* by number; owned; a 0 behind each */
	uint32_t count, capacity;
	struct interned_key *keys; /* by number */
	uint32_t key_capacity;
	uint32_t *buckets; /* number + 1 by hash, 0: none; a power of two, at most half full */
	uint32_t bucket_count;
};

/* The number of a text, which is copied if it is new. 0, or -ENOMEM and nothing has changed. */
int interned_add(struct interned *interned, const char *text, uint32_t *ret);
/* The same of bytes, whatever they are; up to 4 GiB. */
int interned_add_bytes(struct interned *interned, const void *bytes, size_t size, uint32_t *ret);
void interned_deinit(struct interned *interned);
