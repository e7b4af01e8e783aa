#pragma once
/* blocks: a heap's live blocks by their address, in an entry of 24 bytes each.
 *
 * Pure. For the heap (heap.h), which keeps all sums. A census (census.h) that is under way walks
 * over this table, and is told of each block that is put into the part that is still to come, or
 * leaves it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block.h"
#include "proto/base/index.h"

struct budget;
struct census;

struct blocks {
	struct index *by_addr;	   /* see blocks_entry_size() */
	struct index *far_by_addr; /* value: sizes that have no room there */
	uint64_t max_count;	   /* with those that are away; 0: no bound */
	uint32_t away;		   /* taken by blocks_take(), and to come back: its user counts */
	struct census *census;	   /* borrowed; NULL: none is under way */
};

/* 0 or -ENOMEM. To be given to blocks_deinit() when it failed, too. */
int blocks_init(struct blocks *blocks, uint64_t max_count);
void blocks_deinit(struct blocks *blocks);
void blocks_charge(struct blocks *blocks, struct budget *budget);
uint64_t blocks_bytes(const struct blocks *blocks);
uint64_t blocks_count(const struct blocks *blocks);

/* All that there are, in no order. */
void blocks_visit(const struct blocks *blocks,
		  void (*visit)(void *context, const struct block *block), void *context);
/* In pieces: as heap_visit_blocks_from(). */
uint64_t blocks_visit_from(const struct blocks *blocks, uint64_t place, size_t leaves,
			   void (*visit)(void *context, const struct block *block), void *context);
/* Count the next blocks of the census that is under way; as heap_step_census(). */
int blocks_step_census(struct blocks *blocks, size_t leaves);

/* ---- entries ---- */

/* A block's entry has 64 + 21 bits for birth and size: 58 for the birth (nine years of uptime) and
 * 27 for the size. What does not fit is far: `more` says so, `value` is the birth, and the size is
 * in far_by_addr. is_marked: was_before. */
#define BLOCKS_BIRTH_BITS 58
#define BLOCKS_FAR ((1u << INDEX_MORE_BITS) - 1)

static inline bool blocks_is_far(uint64_t size_bytes, uint64_t birth_ns)
{
	return size_bytes >> (64 - BLOCKS_BIRTH_BITS) >= BLOCKS_FAR ||
	       birth_ns >> BLOCKS_BIRTH_BITS;
}

static inline uint64_t blocks_entry_birth(const struct index_entry *entry)
{
	return entry->more == BLOCKS_FAR ? entry->value
					 : entry->value & ((1ull << BLOCKS_BIRTH_BITS) - 1);
}

static inline uint64_t blocks_entry_size(const struct blocks *blocks,
					 const struct index_entry *entry)
{
	if (entry->more == BLOCKS_FAR)
		return index_find(blocks->far_by_addr, entry->space, entry->key)->value;
	return (uint64_t)entry->more << (64 - BLOCKS_BIRTH_BITS) |
	       entry->value >> BLOCKS_BIRTH_BITS;
}

static inline struct block blocks_of_entry(const struct blocks *blocks,
					   const struct index_entry *entry)
{
	return (struct block){
		.addr = entry->key,
		.size_bytes = blocks_entry_size(blocks, entry),
		.birth_ns = blocks_entry_birth(entry),
		.point = entry->point,
		.domain = entry->space,
		.was_before = entry->is_marked,
		.is_single = entry->is_single,
	};
}

/* Its size is in far_by_addr if it is far. */
static inline void blocks_set_entry(struct index_entry *entry, const struct block *block)
{
	bool far = blocks_is_far(block->size_bytes, block->birth_ns);

	entry->value =
		far ? block->birth_ns : block->size_bytes << BLOCKS_BIRTH_BITS | block->birth_ns;
	entry->more = far ? BLOCKS_FAR : block->size_bytes >> (64 - BLOCKS_BIRTH_BITS);
	entry->point = block->point;
	entry->is_marked = block->was_before;
	entry->is_single = block->is_single;
}

/* ---- what comes and goes ---- */

/* Tell the census. Out of the way of those that have none, and by value, so that blocks stay in
 * registers: each event would take 5 % longer. */
void blocks_tell_put(struct blocks *blocks, struct block block);
void blocks_tell_taken(struct blocks *blocks, struct block block);

static inline void blocks_prefetch(const struct blocks *blocks, uint8_t domain, uint64_t addr)
{
	index_prefetch(blocks->by_addr, domain, addr);
}

static inline const struct index_entry *blocks_find(const struct blocks *blocks, uint8_t domain,
						    uint64_t addr)
{
	return index_find(blocks->by_addr, domain, addr);
}

/* Take a block out of the table. false: it is unknown. */
static inline bool blocks_take(struct blocks *blocks, uint8_t domain, uint64_t addr,
			       struct block *ret)
{
	struct index_entry entry;

	if (!index_remove(blocks->by_addr, domain, addr, &entry))
		return false;
	*ret = blocks_of_entry(blocks, &entry);
	if (entry.more == BLOCKS_FAR)
		index_remove(blocks->far_by_addr, domain, addr, NULL);
	if (blocks->census)
		blocks_tell_taken(blocks, *ret);
	return true;
}

/* Find or make the entry of an address within a bound; as index_claim(). */
static inline int blocks_claim(struct blocks *blocks, uint64_t max_count, uint8_t domain,
			       uint64_t addr, struct index_entry **ret)
{
	if (max_count && index_count(blocks->by_addr) + blocks->away >= max_count) {
		*ret = index_find(blocks->by_addr, domain, addr);
		return *ret ? 0 : -ENOSPC;
	}
	return index_claim(blocks->by_addr, domain, addr, ret);
}

/* What was at an entry leaves it, for one that is near. Rare: its free was lost. */
void blocks_displace(struct blocks *blocks, const struct index_entry *entry, struct block *ret);
/* blocks_put() of one that is far. */
int blocks_put_far(struct blocks *blocks, uint64_t max_count, const struct block *block,
		   struct block *ret_old);

/* Put a block under its address. 1: another was there, which is *ret_old and in the table no more.
 * max_count: the table's bound, or 0 for one that was within it before. -ENOSPC, -ENOMEM: nothing
 * has changed. */
static inline int blocks_put(struct blocks *blocks, uint64_t max_count, const struct block *block,
			     struct block *ret_old)
{
	struct index_entry *entry;
	int made;

	if (blocks_is_far(block->size_bytes, block->birth_ns))
		return blocks_put_far(blocks, max_count, block, ret_old);
	made = blocks_claim(blocks, max_count, block->domain, block->addr, &entry);
	if (made < 0)
		return made;
	if (!made)
		blocks_displace(blocks, entry, ret_old);
	blocks_set_entry(entry, block);
	if (blocks->census)
		blocks_tell_put(blocks, *block);
	return !made;
}
