#include "index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "budget.h"
#include "cleanup.h"

/* A leaf is 32 KiB: large enough that the directory stays small, small enough that splitting one
 * takes microseconds. Slots follow one cache line of head, two to a line. */
#define LEAF_BYTES 32768
#define LEAF_SLOTS ((LEAF_BYTES - 64) / sizeof(struct index_entry))
#define LEAF_FULL (LEAF_SLOTS * 3 / 4) /* beyond it linear probing gets slow */
#define MAX_DEPTH 20

/* A large index is cut from huge pages: an event that finds neither its page nor its line in a
 * cache costs half as much again without them (4 million random reads of 600 MB in a VM: 297 ns
 * each, with huge pages 195 ns). A small one does not need 2 MiB at a time. */
#define SLAB_BYTES (2u << 20)
#define SLAB_LEAVES (SLAB_BYTES / LEAF_BYTES)
#define FIRST_SLAB_LEAVES 16

_Static_assert(sizeof(struct index_entry) == 32, "two entries a cache line");

struct leaf {
	uint32_t count;
	uint32_t depth; /* all hashes here agree in so many top bits */
	uint8_t pad[56];
	struct index_entry slots[LEAF_SLOTS];
};
_Static_assert(sizeof(struct leaf) == LEAF_BYTES, "a leaf has no slack");

struct index {
	struct leaf *
		*directory; /* 1 << depth of them; a leaf of less depth is there several times */
	uint32_t depth;
	uint64_t count;
	struct slab *slabs; /* newest first */
	uint64_t slab_bytes;
	uint64_t seed[2];
	struct leaf *scratch; /* what a leaf held while it is rebuilt */
	struct budget *budget;
};

/* Leaves are never given back one by one, so they are cut from slabs. */
struct slab {
	struct slab *next;
	struct leaf *leaves;
	uint32_t used, capacity;
};

static int slab_add(struct index *index)
{
	uint32_t capacity = index->slab_bytes ? SLAB_LEAVES : FIRST_SLAB_LEAVES;
	size_t bytes = capacity * sizeof(struct leaf);
	_cleanup_free_ struct slab *slab = calloc(1, sizeof(*slab));

	if (!slab)
		return -ENOMEM;
	if (!budget_take(index->budget, bytes))
		return -ENOSPC;
	slab->leaves = aligned_alloc(index->slab_bytes ? SLAB_BYTES : 64, bytes);
	if (!slab->leaves) {
		budget_give(index->budget, bytes);
		return -ENOMEM;
	}
	if (index->slab_bytes)
		madvise(slab->leaves, bytes, MADV_HUGEPAGE); /* a wish: fine without */
	slab->capacity = capacity;
	slab->next = index->slabs;
	index->slab_bytes += bytes;
	index->slabs = take_ptr(slab);
	return 0;
}

static int leaf_new(struct index *index, uint32_t depth, struct leaf **ret)
{
	struct leaf *leaf;
	int err = 0;

	if (!index->slabs || index->slabs->used == index->slabs->capacity)
		err = slab_add(index);
	if (err)
		return err;
	leaf = &index->slabs->leaves[index->slabs->used++];
	memset(leaf, 0, sizeof(*leaf));
	leaf->depth = depth;
	*ret = leaf;
	return 0;
}

void index_free(struct index *index)
{
	if (!index)
		return;
	budget_give(index->budget, index_memory_bytes(index));
	while (index->slabs) {
		struct slab *slab = index->slabs;

		index->slabs = slab->next;
		free(slab->leaves);
		free(slab);
	}
	free(index->directory);
	free(index->scratch);
	free(index);
}
DEFINE_CLEANUP_PTR(struct index *, index_free)

void index_charge(struct index *index, struct budget *budget)
{
	index->budget = budget;
	budget_force(budget, index_memory_bytes(index));
}

int index_new(struct index **ret)
{
	_cleanup_(index_free_ptr) struct index *index = calloc(1, sizeof(*index));
	int err;

	if (!index)
		return -ENOMEM;
	/* Not AT_RANDOM: of these bytes libc makes its canary and the mangling of its pointers.
	 * A machine that has just booted may have no entropy yet (a guest with 6.1 answered
	 * EAGAIN): what there is will do. */
	if (getrandom(index->seed, sizeof(index->seed), GRND_INSECURE) != sizeof(index->seed))
		return -errno;
	index->scratch = aligned_alloc(64, sizeof(*index->scratch));
	index->directory = calloc(1, sizeof(*index->directory));
	if (!index->scratch || !index->directory)
		return -ENOMEM;
	err = leaf_new(index, 0, &index->directory[0]);
	if (err)
		return err;
	*ret = take_ptr(index);
	return 0;
}

/* ---- hashing ------------------------------------------------------------------------------ */

static inline uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Two rounds of multiply and fold; the odd constants are digits of pi. */
static inline uint64_t hash_of(const struct index *index, uint8_t space, uint64_t key)
{
	uint64_t hash = fold(key ^ index->seed[0], index->seed[1] ^ 0x243f6a8885a308d3u);

	return fold(hash ^ space, 0x13198a2e03707345u);
}

uint64_t index_mix(const struct index *index, uint64_t state, uint64_t word)
{
	return fold(state ^ word ^ index->seed[0], index->seed[1] ^ 0xa4093822299f31d0u);
}

static inline struct leaf **slot_of_hash(const struct index *index, uint64_t hash)
{
	/* Two shifts: one by 64 would be undefined when the depth is 0. */
	return &index->directory[hash >> 1 >> (63 - index->depth)];
}

static inline uint32_t home_of_hash(uint64_t hash)
{
	return (uint64_t)(uint32_t)hash * LEAF_SLOTS >> 32;
}

static inline uint32_t next_slot(uint32_t slot)
{
	return slot + 1 == LEAF_SLOTS ? 0 : slot + 1;
}

/* ---- within a leaf ------------------------------------------------------------------------ */

/* The entry, or the free slot where it belongs. A leaf always has free slots. */
static inline struct index_entry *leaf_seek(struct leaf *leaf, uint64_t hash, uint8_t space,
					    uint64_t key)
{
	uint32_t slot = home_of_hash(hash);

	while (leaf->slots[slot].is_used &&
	       (leaf->slots[slot].key != key || leaf->slots[slot].space != space))
		slot = next_slot(slot);
	return &leaf->slots[slot];
}

static inline void leaf_occupy(struct leaf *leaf, struct index_entry *entry, uint64_t hash,
			       uint8_t space, uint64_t key)
{
	*entry = (struct index_entry){
		.key = key, .home = home_of_hash(hash), .space = space, .is_used = 1
	};
	leaf->count++;
}

/* Close the gap, so that no entry is cut off from its home: no tombstones, no slow decay. */
static void leaf_clear_slot(struct leaf *leaf, uint32_t gap)
{
	uint32_t slot = gap;

	for (;;) {
		uint32_t from_home, from_gap;

		slot = next_slot(slot);
		if (!leaf->slots[slot].is_used)
			break;
		from_home = (slot + LEAF_SLOTS - leaf->slots[slot].home) % LEAF_SLOTS;
		from_gap = (slot + LEAF_SLOTS - gap) % LEAF_SLOTS;
		if (from_home >= from_gap) {
			leaf->slots[gap] = leaf->slots[slot];
			gap = slot;
		}
	}
	leaf->slots[gap].is_used = 0;
	leaf->count--;
}

static void leaf_insert(const struct index *index, struct leaf *leaf,
			const struct index_entry *entry)
{
	uint32_t slot = entry->home;

	while (leaf->slots[slot].is_used)
		slot = next_slot(slot);
	leaf->slots[slot] = *entry;
	leaf->count++;
}

/* ---- growing ------------------------------------------------------------------------------ */

static int directory_double(struct index *index)
{
	size_t count = (size_t)1 << index->depth;
	struct leaf **directory;

	if (index->depth == MAX_DEPTH)
		return -ENOSPC;
	if (!budget_take(index->budget, count * sizeof(*directory)))
		return -ENOSPC;
	directory = malloc(2 * count * sizeof(*directory));
	if (!directory) {
		budget_give(index->budget, count * sizeof(*directory));
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++)
		directory[2 * i] = directory[2 * i + 1] = index->directory[i];
	free(index->directory);
	index->directory = directory;
	index->depth++;
	return 0;
}

static int leaf_split(struct index *index, uint64_t hash)
{
	struct leaf *low = *slot_of_hash(index, hash), *high;
	size_t first, span;
	int err;

	if (low->depth == index->depth) {
		err = directory_double(index);
		if (err)
			return err;
	}
	err = leaf_new(index, low->depth + 1, &high);
	if (err)
		return err;
	memcpy(index->scratch, low, sizeof(*low));
	memset(low->slots, 0, sizeof(low->slots));
	low->count = 0;
	low->depth++;
	for (size_t i = 0; i < LEAF_SLOTS; i++) {
		const struct index_entry *entry = &index->scratch->slots[i];
		uint64_t bits;

		if (!entry->is_used)
			continue;
		bits = hash_of(index, entry->space, entry->key);
		leaf_insert(index, bits >> (64 - low->depth) & 1 ? high : low, entry);
	}

	/* The upper half of the directory entries that named the old leaf name the new one. */
	span = (size_t)1 << (index->depth - low->depth);
	first = (hash >> (64 - low->depth) | 1) << (index->depth - low->depth);
	for (size_t i = 0; i < span; i++)
		index->directory[first + i] = high;
	return 0;
}

/* ---- the table ---------------------------------------------------------------------------- */

struct index_entry *index_find(const struct index *index, uint8_t space, uint64_t key)
{
	uint64_t hash = hash_of(index, space, key);
	struct index_entry *entry = leaf_seek(*slot_of_hash(index, hash), hash, space, key);

	return entry->is_used ? entry : NULL;
}

int index_claim(struct index *index, uint8_t space, uint64_t key, struct index_entry **ret)
{
	uint64_t hash = hash_of(index, space, key);

	for (;;) {
		struct leaf *leaf = *slot_of_hash(index, hash);
		struct index_entry *entry = leaf_seek(leaf, hash, space, key);
		int err;

		if (entry->is_used) {
			*ret = entry;
			return 0;
		}
		if (leaf->count < LEAF_FULL) {
			leaf_occupy(leaf, entry, hash, space, key);
			index->count++;
			*ret = entry;
			return 1;
		}
		err = leaf_split(index, hash);
		if (err)
			return err;
	}
}

bool index_remove(struct index *index, uint8_t space, uint64_t key, struct index_entry *ret)
{
	uint64_t hash = hash_of(index, space, key);
	struct leaf *leaf = *slot_of_hash(index, hash);
	struct index_entry *entry = leaf_seek(leaf, hash, space, key);

	if (!entry->is_used)
		return false;
	if (ret)
		*ret = *entry;
	leaf_clear_slot(leaf, entry - leaf->slots);
	index->count--;
	return true;
}

void index_remove_if(struct index *index,
		     bool (*want)(const struct index_entry *entry, const void *ctx),
		     const void *ctx)
{
	for (size_t i = 0; i < (size_t)1 << index->depth;) {
		struct leaf *leaf = index->directory[i];

		i += (size_t)1 << (index->depth - leaf->depth);
		index->count -= leaf->count;
		memcpy(index->scratch, leaf, sizeof(*leaf));
		memset(leaf->slots, 0, sizeof(leaf->slots));
		leaf->count = 0;
		for (size_t j = 0; j < LEAF_SLOTS; j++) {
			const struct index_entry *entry = &index->scratch->slots[j];

			if (entry->is_used && !want(entry, ctx))
				leaf_insert(index, leaf, entry);
		}
		index->count += leaf->count;
	}
}

void index_visit(const struct index *index,
		 void (*visit)(void *ctx, const struct index_entry *entry), void *ctx)
{
	for (size_t i = 0; i < (size_t)1 << index->depth;) {
		const struct leaf *leaf = index->directory[i];

		i += (size_t)1 << (index->depth - leaf->depth);
		for (size_t j = 0; j < LEAF_SLOTS; j++)
			if (leaf->slots[j].is_used)
				visit(ctx, &leaf->slots[j]);
	}
}

uint64_t index_count(const struct index *index)
{
	return index->count;
}

uint64_t index_memory_bytes(const struct index *index)
{
	return sizeof(*index) + LEAF_BYTES + index->slab_bytes +
	       (sizeof(*index->directory) << index->depth);
}
