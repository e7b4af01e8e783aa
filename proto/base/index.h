#pragma once
/* index: a hash table from (space, 64-bit key) to a small record, that never pauses.
 *
 * Pure. It holds the blocks of a heap by address, and stacks by their id: tens of millions of
 * entries, filled by a thread that must not stall. So it is an extendible hash: a directory of
 * leaves, and a full leaf grows in small steps up to a bound, where it is split in two. No
 * operation moves more than one leaf's entries (some microseconds), or the directory's pointers (8
 * bytes for some 700 entries). What remains is the kernel's zeroing of a fresh huge page for some
 * 90 leaves. An entry of 24 bytes needs at most 40 with all slack, from half a million on
 * (test_index.c). Hashing is seeded by the process, so that a hostile target cannot aim
 * at one leaf.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index;
struct budget;

struct index_entry { /* key, space and is_used are the index's; the rest is the user's */
	uint64_t key;
	uint64_t value;
	uint32_t point;
	uint32_t more : 21;
	uint32_t space : 8;
	uint32_t is_marked : 1;
	uint32_t is_single : 1;
	uint32_t is_used : 1;
};
#define INDEX_MORE_BITS 21

int index_new(struct index **ret);
void index_free(struct index *index);
/* What it has and what it takes from now on is budget's, until it is freed. Where there is none
 * left index_claim() says -ENOSPC. */
void index_charge(struct index *index, struct budget *budget);

/* The key will be asked for soon: its place is brought near. */
void index_prefetch(const struct index *index, uint8_t space, uint64_t key);

/* NULL if there is none. Entries stay where they are until the next claim or removal. */
struct index_entry *index_find(const struct index *index, uint8_t space, uint64_t key);

/* Find or make. 1: made, the user's fields are 0. 0: it was there. -ENOMEM: no memory; -ENOSPC:
 * the directory is as large as it may be (half a billion entries), or the budget is used up.
 * Nothing has changed then. */
int index_claim(struct index *index, uint8_t space, uint64_t key, struct index_entry **ret);

/* false if there is none. *ret (may be NULL): what it was. */
bool index_remove(struct index *index, uint8_t space, uint64_t key, struct index_entry *ret);

/* Remove all entries for which want() is true; O(entries). It may be asked twice for one. */
void index_remove_if(struct index *index,
		     bool (*want)(const struct index_entry *entry, const void *ctx),
		     const void *ctx);

/* All entries, in no order; O(entries). The index must not change meanwhile. */
void index_visit(const struct index *index,
		 void (*visit)(void *ctx, const struct index_entry *entry), void *ctx);

/* A walk in pieces, between which the index may change. Each entry has a place, which stays; the
 * entries of at most so many leaves (some 700 each) from a place on are visited, and the place to
 * go on at is returned, below which all are; 0: that was the end. */
uint64_t index_visit_from(const struct index *index, uint64_t place, size_t leaves,
			  void (*visit)(void *ctx, const struct index_entry *entry), void *ctx);
uint64_t index_place(const struct index *index, uint8_t space, uint64_t key);

/* One round of the index's own seeded hashing, for users whose keys are hashes of something longer
 * that comes from the target. */
uint64_t index_mix(const struct index *index, uint64_t state, uint64_t word);

uint64_t index_count(const struct index *index);
uint64_t index_memory_bytes(const struct index *index);
