#include "newest.h"

#include "proto/base/index.h"

int newest_init(struct newest *newest)
{
	*newest = (struct newest){ 0 };
	return index_new(&newest->by_tid);
}

void newest_deinit(struct newest *newest)
{
	index_free(newest->by_tid);
	newest->by_tid = NULL;
}

/* The entry of a thread that has no place; NULL: there is no memory for it. */
static struct index_entry *claim_far(struct newest *newest, uint32_t tid)
{
	struct index_entry *entry;
	int made = index_claim(newest->by_tid, 0, tid, &entry);

	if (made < 0)
		return NULL;
	newest->places[tid % NEWEST_PLACES].others += made;
	return entry;
}

uint8_t newest_set_far(struct newest *newest, uint32_t tid, uint64_t key)
{
	struct index_entry *entry = claim_far(newest, tid);

	if (!entry)
		return 0;
	entry->value = key;
	return entry->point;
}

void newest_name(struct newest *newest, uint32_t tid, uint8_t name, bool is_guess)
{
	struct newest_place *place = &newest->places[tid % NEWEST_PLACES];
	struct index_entry *entry;

	if (!place->tid && !place->others)
		*place = (struct newest_place){ .tid = tid };
	if (place->tid == tid) {
		if (!is_guess || !place->name)
			place->name = name;
		return;
	}
	entry = claim_far(newest, tid);
	if (entry && (!is_guess || !entry->point))
		entry->point = name;
}

uint8_t newest_name_of(const struct newest *newest, uint32_t tid)
{
	const struct newest_place *place = &newest->places[tid % NEWEST_PLACES];
	const struct index_entry *entry;

	if (place->tid == tid)
		return place->name;
	entry = place->others ? index_find(newest->by_tid, 0, tid) : NULL;
	return entry ? entry->point : 0;
}

bool newest_take_far(struct newest *newest, uint32_t tid, uint64_t key)
{
	struct index_entry *entry = index_find(newest->by_tid, 0, tid);

	if (!entry || entry->value != key)
		return false;
	entry->value = 0;
	return true;
}

void newest_forget(struct newest *newest, uint32_t tid)
{
	struct newest_place *place = &newest->places[tid % NEWEST_PLACES];

	if (place->tid == tid)
		place->tid = 0;
	else if (place->others && index_remove(newest->by_tid, 0, tid, NULL))
		place->others--;
}
