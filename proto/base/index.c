#include "index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "budget.h"
#include "cleanup.h"

/* A leaf is 16 to 28 KiB: large enough that the directory stays small, small enough that moving its
 * entries takes microseconds. It grows by 4 KiB, and beyond the last step it is split into two. So
 * when it has just grown it is filled to five sixths of what is allowed, not to half. (Steps of
 * 2 KiB save 5 % of memory and make growing 40 % dearer.) */
#define LEAF_UNIT 4096
#define LEAF_LEAST_UNITS 4
#define LEAF_CLASSES 4
#define LEAF_FULL(slots) ((slots)*3 / 4) /* beyond it linear probing gets slow */
#define MAX_DEPTH 20

/* A large index is cut from huge pages: an event that finds neither its page nor its line in a
 * cache costs half as much again without them (4 million random reads of 600 MB in a VM: 297 ns
 * each, with huge pages 195 ns). A small one grows to that by doubling. */
#define SLAB_BYTES (2u << 20)
#define FIRST_SLAB_BYTES (64u << 10)

_Static_assert(sizeof(struct index_entry) == 24, "what a block costs");

struct leaf {
	uint32_t count;
	uint16_t depth; /* all places (place_of()) here agree in so many top bits */
	uint16_t class; /* its size: LEAF_LEAST_UNITS + class units */
	struct leaf *next_free;
	uint8_t pad[48];
	struct index_entry slots[];
};
_Static_assert(sizeof(struct leaf) == 64, "a cache line");

/* A leaf's address and, in the bits that are 0 there, its class: to find an entry its head need not
 * be read. */
typedef uintptr_t leaf_ref;
#define LEAF_ALIGN sizeof(struct leaf)
_Static_assert(LEAF_CLASSES <= LEAF_ALIGN, "a class fits beside an address");

struct index {
	leaf_ref *directory; /* 1 << depth of them; a leaf of less depth is there several times */
	uint32_t depth;
	uint64_t count;
	struct slab *slabs; /* newest first */
	uint64_t slab_bytes;
	struct leaf *free_leaves[LEAF_CLASSES];
	uint64_t seed[2];
	struct budget *budget;
};

struct slab {
	struct slab *next;
	uint8_t *bytes;
	uint32_t used, capacity;
};

/* ---- leaves ------------------------------------------------------------------------------- */

/* The head comes on top: were leaves whole pages, their heads would meet in one set of the cache.
 */
static inline uint32_t class_bytes(uint32_t class)
{
	return (LEAF_LEAST_UNITS + class) * LEAF_UNIT + sizeof(struct leaf);
}

static inline uint32_t class_slots(uint32_t class)
{
	return (LEAF_LEAST_UNITS + class) * LEAF_UNIT / sizeof(struct index_entry);
}

static inline leaf_ref ref_of(const struct leaf *leaf)
{
	return (uintptr_t)leaf | leaf->class;
}

static inline struct leaf *ref_leaf(leaf_ref ref)
{
	return (struct leaf *)(ref & ~(leaf_ref)(LEAF_ALIGN - 1));
}

static inline uint32_t ref_slots(leaf_ref ref)
{
	return class_slots(ref & (LEAF_ALIGN - 1));
}

static void leaf_put(struct index *index, struct leaf *leaf)
{
	leaf->next_free = index->free_leaves[leaf->class];
	index->free_leaves[leaf->class] = leaf;
}

/* What is left of a slab: a leaf, or too little. */
static void slab_close(struct index *index, struct slab *slab)
{
	uint32_t left = slab->capacity - slab->used;
	uint32_t units = left < sizeof(struct leaf) ? 0 : (left - sizeof(struct leaf)) / LEAF_UNIT;
	struct leaf *leaf = (struct leaf *)(slab->bytes + slab->used);

	slab->used = slab->capacity;
	if (units < LEAF_LEAST_UNITS)
		return;
	if (units >= LEAF_LEAST_UNITS + LEAF_CLASSES)
		units = LEAF_LEAST_UNITS + LEAF_CLASSES - 1;
	leaf->class = units - LEAF_LEAST_UNITS;
	leaf_put(index, leaf);
}

static int slab_add(struct index *index)
{
	uint64_t bytes = index->slab_bytes ?: FIRST_SLAB_BYTES;
	_cleanup_free_ struct slab *slab = calloc(1, sizeof(*slab));

	if (!slab)
		return -ENOMEM;
	if (bytes > SLAB_BYTES)
		bytes = SLAB_BYTES;
	if (!budget_take(index->budget, bytes))
		return -ENOSPC;
	slab->bytes = aligned_alloc(bytes == SLAB_BYTES ? SLAB_BYTES : LEAF_ALIGN, bytes);
	if (!slab->bytes) {
		budget_give(index->budget, bytes);
		return -ENOMEM;
	}
	if (bytes == SLAB_BYTES)
		madvise(slab->bytes, bytes, MADV_HUGEPAGE); /* a wish: fine without */
	if (index->slabs)
		slab_close(index, index->slabs);
	slab->capacity = bytes;
	slab->next = index->slabs;
	index->slab_bytes += bytes;
	index->slabs = take_ptr(slab);
	return 0;
}

static int leaf_get(struct index *index, uint32_t class, uint32_t depth, struct leaf **ret)
{
	struct leaf *leaf = index->free_leaves[class];
	uint32_t bytes = class_bytes(class);
	int err = 0;

	if (leaf) {
		index->free_leaves[class] = leaf->next_free;
	} else {
		if (!index->slabs || index->slabs->capacity - index->slabs->used < bytes)
			err = slab_add(index);
		if (err)
			return err;
		leaf = (struct leaf *)(index->slabs->bytes + index->slabs->used);
		index->slabs->used += bytes;
	}
	memset(leaf, 0, bytes);
	leaf->class = class;
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
		free(slab->bytes);
		free(slab);
	}
	free(index->directory);
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
	struct leaf *leaf;
	int err;

	if (!index)
		return -ENOMEM;
	/* Not AT_RANDOM: of these bytes libc makes its canary and the mangling of its pointers.
	 * A machine that has just booted may have no entropy yet (a guest with 6.1 answered
	 * EAGAIN): what there is will do. */
	if (getrandom(index->seed, sizeof(index->seed), GRND_INSECURE) != sizeof(index->seed))
		return -errno;
	index->directory = calloc(1, sizeof(*index->directory));
	if (!index->directory)
		return -ENOMEM;
	err = leaf_get(index, 0, 0, &leaf);
	if (err)
		return err;
	index->directory[0] = ref_of(leaf);
	*ret = take_ptr(index);
	return 0;
}

/* ---- hashing ------------------------------------------------------------------------------ */

static inline uint64_t high_product(uint64_t a, uint64_t b)
{
	return (unsigned __int128)a * b >> 64;
}

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

/* Where in the directory, as a fraction of 2^64. Not the hash itself: were all leaves equally full,
 * they would grow and split all at once, and what they leave would wait for nobody. h is spread by
 * 2^h - 1 (here as h * (0.6565 + 0.3435 h), which is off by 0.0003 at most), which makes the first
 * leaves twice as full as the last, and those between so that at any time as many leaves are of
 * each size: spiral storage, G. N. N. Martin, 1979. */
static inline uint64_t place_of(uint64_t hash)
{
	return high_product(hash, 0xa810624dd2f1a800u + high_product(hash, 0x57ef9db22d0e57ffu));
}

static inline leaf_ref *slot_of_place(const struct index *index, uint64_t place)
{
	/* Two shifts: one by 64 would be undefined when the depth is 0. */
	return &index->directory[place >> 1 >> (63 - index->depth)];
}

static inline leaf_ref leaf_of_hash(const struct index *index, uint64_t hash)
{
	return *slot_of_place(index, place_of(hash));
}

/* The slot that an entry would like to have. */
static inline uint32_t home_of_hash(uint64_t hash, uint32_t slots)
{
	return (uint64_t)(uint32_t)hash * slots >> 32;
}

static inline uint32_t next_slot(uint32_t slot, uint32_t slots)
{
	return slot + 1 == slots ? 0 : slot + 1;
}

/* ---- within a leaf ------------------------------------------------------------------------ */

/* The entry, or the free slot where it belongs. A leaf always has free slots. */
static inline struct index_entry *leaf_seek(leaf_ref ref, uint64_t hash, uint8_t space,
					    uint64_t key)
{
	struct leaf *leaf = ref_leaf(ref);
	uint32_t slots = ref_slots(ref), slot = home_of_hash(hash, slots);

	while (leaf->slots[slot].is_used &&
	       (leaf->slots[slot].key != key || leaf->slots[slot].space != space))
		slot = next_slot(slot, slots);
	return &leaf->slots[slot];
}

/* Close the gap, so that no entry is cut off from its home: no tombstones, no slow decay. */
static void leaf_clear_slot(const struct index *index, leaf_ref ref, uint32_t gap)
{
	struct leaf *leaf = ref_leaf(ref);
	uint32_t slots = ref_slots(ref), slot = gap;

	for (;;) {
		const struct index_entry *entry;
		uint32_t home, from_home, from_gap;

		slot = next_slot(slot, slots);
		entry = &leaf->slots[slot];
		if (!entry->is_used)
			break;
		home = home_of_hash(hash_of(index, entry->space, entry->key), slots);
		from_home = slot >= home ? slot - home : slot + slots - home;
		from_gap = slot >= gap ? slot - gap : slot + slots - gap;
		if (from_home >= from_gap) {
			leaf->slots[gap] = *entry;
			gap = slot;
		}
	}
	leaf->slots[gap].is_used = 0;
	leaf->count--;
}

static inline void leaf_insert(struct leaf *leaf, uint64_t hash, const struct index_entry *entry)
{
	uint32_t slots = class_slots(leaf->class), slot = home_of_hash(hash, slots);

	while (leaf->slots[slot].is_used)
		slot = next_slot(slot, slots);
	leaf->slots[slot] = *entry;
	leaf->count++;
}

/* ---- growing ------------------------------------------------------------------------------ */

static int directory_double(struct index *index)
{
	size_t count = (size_t)1 << index->depth;
	leaf_ref *directory;

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

/* All entries of the directory for the leaf that place belongs to. */
static void directory_set(struct index *index, uint64_t place, const struct leaf *leaf)
{
	size_t span = (size_t)1 << (index->depth - leaf->depth);
	leaf_ref *first = slot_of_place(index, place);

	first -= (size_t)(first - index->directory) & (span - 1);
	for (size_t i = 0; i < span; i++)
		first[i] = ref_of(leaf);
}

static int leaf_grow(struct index *index, uint64_t place, struct leaf *old)
{
	uint32_t slots = class_slots(old->class);
	struct leaf *leaf;
	int err = leaf_get(index, old->class + 1, old->depth, &leaf);

	if (err)
		return err;
	for (uint32_t i = 0; i < slots; i++) {
		const struct index_entry *entry = &old->slots[i];

		if (entry->is_used)
			leaf_insert(leaf, hash_of(index, entry->space, entry->key), entry);
	}
	directory_set(index, place, leaf);
	leaf_put(index, old);
	return 0;
}

/* The smallest with room for one more. */
static uint32_t class_for(uint32_t count)
{
	uint32_t class = 0;

	while (class < LEAF_CLASSES - 1 && count >= LEAF_FULL(class_slots(class)))
		class ++;
	return class;
}

static inline bool is_upper(uint64_t place, uint32_t depth)
{
	return place >> (63 - depth) & 1;
}

static int leaf_split(struct index *index, uint64_t place, struct leaf *old)
{
	uint32_t slots = class_slots(old->class), count[2] = { 0 };
	struct leaf *half[2];
	int err = old->depth == index->depth ? directory_double(index) : 0;

	if (err)
		return err;
	for (uint32_t i = 0; i < slots; i++) {
		const struct index_entry *entry = &old->slots[i];

		if (entry->is_used)
			count[is_upper(place_of(hash_of(index, entry->space, entry->key)),
				       old->depth)]++;
	}
	err = leaf_get(index, class_for(count[0]), old->depth + 1, &half[0]);
	if (err)
		return err;
	err = leaf_get(index, class_for(count[1]), old->depth + 1, &half[1]);
	if (err) {
		leaf_put(index, half[0]);
		return err;
	}
	for (uint32_t i = 0; i < slots; i++) {
		const struct index_entry *entry = &old->slots[i];
		uint64_t hash;

		if (!entry->is_used)
			continue;
		hash = hash_of(index, entry->space, entry->key);
		leaf_insert(half[is_upper(place_of(hash), old->depth)], hash, entry);
	}
	for (int i = 0; i < 2; i++) {
		uint64_t bit = 1ull << (63 - old->depth);

		directory_set(index, i ? place | bit : place & ~bit, half[i]);
	}
	leaf_put(index, old);
	return 0;
}

/* ---- the table ---------------------------------------------------------------------------- */

void index_prefetch(const struct index *index, uint8_t space, uint64_t key)
{
	uint64_t hash = hash_of(index, space, key);
	leaf_ref ref = leaf_of_hash(index, hash);
	const struct leaf *leaf = ref_leaf(ref);
	const char *home = (const char *)&leaf->slots[home_of_hash(hash, ref_slots(ref))];

	__builtin_prefetch(home);
	__builtin_prefetch(home + 64);
	__builtin_prefetch(home + 128);
	__builtin_prefetch(leaf);
}

struct index_entry *index_find(const struct index *index, uint8_t space, uint64_t key)
{
	uint64_t hash = hash_of(index, space, key);
	struct index_entry *entry = leaf_seek(leaf_of_hash(index, hash), hash, space, key);

	return entry->is_used ? entry : NULL;
}

int index_claim(struct index *index, uint8_t space, uint64_t key, struct index_entry **ret)
{
	uint64_t hash = hash_of(index, space, key);

	for (;;) {
		leaf_ref ref = leaf_of_hash(index, hash);
		struct leaf *leaf = ref_leaf(ref);
		struct index_entry *entry = leaf_seek(ref, hash, space, key);
		int err;

		if (entry->is_used) {
			*ret = entry;
			return 0;
		}
		if (leaf->count < LEAF_FULL(ref_slots(ref))) {
			*entry = (struct index_entry){ .key = key, .space = space, .is_used = 1 };
			leaf->count++;
			index->count++;
			*ret = entry;
			return 1;
		}
		if (leaf->class < LEAF_CLASSES - 1)
			err = leaf_grow(index, place_of(hash), leaf);
		else
			err = leaf_split(index, place_of(hash), leaf);
		if (err)
			return err;
	}
}

bool index_remove(struct index *index, uint8_t space, uint64_t key, struct index_entry *ret)
{
	uint64_t hash = hash_of(index, space, key);
	leaf_ref ref = leaf_of_hash(index, hash);
	struct index_entry *entry = leaf_seek(ref, hash, space, key);

	if (!entry->is_used)
		return false;
	if (ret)
		*ret = *entry;
	leaf_clear_slot(index, ref, entry - ref_leaf(ref)->slots);
	index->count--;
	return true;
}

void index_remove_if(struct index *index,
		     bool (*want)(const struct index_entry *entry, const void *ctx),
		     const void *ctx)
{
	for (size_t i = 0; i < (size_t)1 << index->depth;) {
		leaf_ref ref = index->directory[i];
		struct leaf *leaf = ref_leaf(ref);

		i += (size_t)1 << (index->depth - leaf->depth);
		index->count -= leaf->count;
		/* What moves into a gap comes from behind it, or from the beginning, again. */
		for (uint32_t j = 0; j < ref_slots(ref); j++)
			while (leaf->slots[j].is_used && want(&leaf->slots[j], ctx))
				leaf_clear_slot(index, ref, j);
		index->count += leaf->count;
	}
}

static void visit_leaf(leaf_ref ref, void (*visit)(void *ctx, const struct index_entry *entry),
		       void *ctx)
{
	const struct leaf *leaf = ref_leaf(ref);

	for (uint32_t i = 0; i < ref_slots(ref); i++)
		if (leaf->slots[i].is_used)
			visit(ctx, &leaf->slots[i]);
}

uint64_t index_visit_from(const struct index *index, uint64_t place, size_t leaves,
			  void (*visit)(void *ctx, const struct index_entry *entry), void *ctx)
{
	size_t i = slot_of_place(index, place) - index->directory, end = (size_t)1 << index->depth;

	for (; i < end && leaves; leaves--) {
		visit_leaf(index->directory[i], visit, ctx);
		i += (size_t)1 << (index->depth - ref_leaf(index->directory[i])->depth);
	}
	return i < end ? (uint64_t)i << (64 - index->depth) : 0;
}

uint64_t index_place(const struct index *index, uint8_t space, uint64_t key)
{
	return place_of(hash_of(index, space, key));
}

void index_visit(const struct index *index,
		 void (*visit)(void *ctx, const struct index_entry *entry), void *ctx)
{
	index_visit_from(index, 0, SIZE_MAX, visit, ctx);
}

uint64_t index_count(const struct index *index)
{
	return index->count;
}

uint64_t index_memory_bytes(const struct index *index)
{
	return sizeof(*index) + index->slab_bytes + (sizeof(*index->directory) << index->depth);
}
