#include "blocks.h"

#include "census.h"

int blocks_init(struct blocks *blocks, uint64_t max_count)
{
	int err;

	*blocks = (struct blocks){ .max_count = max_count };
	err = index_new(&blocks->by_addr);
	return err ? err : index_new(&blocks->far_by_addr);
}

void blocks_deinit(struct blocks *blocks)
{
	index_free(blocks->by_addr);
	index_free(blocks->far_by_addr);
}

void blocks_charge(struct blocks *blocks, struct budget *budget)
{
	index_charge(blocks->by_addr, budget);
	index_charge(blocks->far_by_addr, budget);
}

uint64_t blocks_bytes(const struct blocks *blocks)
{
	return index_memory_bytes(blocks->by_addr);
}

uint64_t blocks_count(const struct blocks *blocks)
{
	return index_count(blocks->by_addr) + blocks->away;
}

static void read_displaced(struct blocks *blocks, const struct index_entry *entry,
			   struct block *ret)
{
	*ret = blocks_of_entry(blocks, entry);
	if (blocks->census)
		blocks_tell_taken(blocks, *ret);
}

__attribute__((cold)) void blocks_displace(struct blocks *blocks, const struct index_entry *entry,
					   struct block *ret)
{
	read_displaced(blocks, entry, ret);
	if (entry->more == BLOCKS_FAR)
		index_remove(blocks->far_by_addr, entry->space, entry->key, NULL);
}

/* What was there may be far, or not; the new one's size has a place first. */
int blocks_put_far(struct blocks *blocks, uint64_t max_count, const struct block *block,
		   struct block *ret_old)
{
	struct index_entry *entry, *far;
	int made_far = index_claim(blocks->far_by_addr, block->domain, block->addr, &far), made;

	if (made_far < 0)
		return made_far;
	made = blocks_claim(blocks, max_count, block->domain, block->addr, &entry);
	if (made < 0) {
		if (made_far)
			index_remove(blocks->far_by_addr, block->domain, block->addr, NULL);
		return made;
	}
	if (!made)
		read_displaced(blocks, entry, ret_old);
	far->value = block->size_bytes;
	blocks_set_entry(entry, block);
	if (blocks->census)
		blocks_tell_put(blocks, *block);
	return !made;
}

struct visit {
	const struct blocks *blocks;
	void (*visit)(void *context, const struct block *block);
	void *context;
};

static void visit_entry(void *visit_, const struct index_entry *entry)
{
	const struct visit *visit = visit_;
	struct block block = blocks_of_entry(visit->blocks, entry);

	visit->visit(visit->context, &block);
}

void blocks_visit(const struct blocks *blocks,
		  void (*visit)(void *context, const struct block *block), void *context)
{
	blocks_visit_from(blocks, 0, SIZE_MAX, visit, context);
}

uint64_t blocks_visit_from(const struct blocks *blocks, uint64_t place, size_t leaves,
			   void (*visit)(void *context, const struct block *block), void *context)
{
	struct visit all = { blocks, visit, context };

	return index_visit_from(blocks->by_addr, place, leaves, visit_entry, &all);
}

/* ---- a census ----------------------------------------------------------------------------- */

/* Is its place one that the census has still to come to? */
static bool is_ahead(const struct blocks *blocks, const struct block *block)
{
	return index_place(blocks->by_addr, block->domain, block->addr) >= blocks->census->place;
}

__attribute__((cold)) void blocks_tell_put(struct blocks *blocks, struct block block)
{
	if (is_ahead(blocks, &block))
		census_put(blocks->census, &block);
}

__attribute__((cold)) void blocks_tell_taken(struct blocks *blocks, struct block block)
{
	if (is_ahead(blocks, &block))
		census_take(blocks->census, &block);
}

static void count_entry(void *blocks_, const struct index_entry *entry)
{
	struct blocks *blocks = blocks_;
	struct block block = blocks_of_entry(blocks, entry);

	if (!census_is_late(blocks->census, &block))
		census_count_soon(blocks->census, &block);
}

int blocks_step_census(struct blocks *blocks, size_t leaves)
{
	struct census *census = blocks->census;

	census->place =
		index_visit_from(blocks->by_addr, census->place, leaves, count_entry, blocks);
	census_settle(census);
	if (census->place && !census->error)
		return 1;
	blocks->census = NULL;
	return census->error;
}
