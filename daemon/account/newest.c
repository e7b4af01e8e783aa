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

void newest_set_far(struct newest *newest, uint32_t tid, uint64_t key)
{
	struct index_entry *entry;
	int made = index_claim(newest->by_tid, 0, tid, &entry);

	if (made < 0)
		return;
	newest->places[tid % NEWEST_PLACES].others += made;
	entry->value = key;
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
