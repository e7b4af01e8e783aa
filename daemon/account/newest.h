#pragma once
/* newest: of each thread the block that it was handed last, as long as it lives.
 *
 * Pure. Most threads have a place of their own, which is found without hashing; those whose numbers
 * meet in one are in an index. A thread that ends is forgotten, so that there is an entry for each
 * living one at most. Where there is no memory for one its blocks are never the newest.
 */
#include <stdbool.h>
#include <stdint.h>

#define NEWEST_PLACES 1024

struct index;

struct newest_place {
	uint64_t key;
	uint32_t tid;	 /* 0: nobody's */
	uint32_t others; /* threads that meet here, and are in the index */
};

struct newest {
	struct newest_place places[NEWEST_PLACES];
	struct index *by_tid;
};

/* 0 or -ENOMEM. To be given to newest_deinit() when it failed, too. */
int newest_init(struct newest *newest);
void newest_deinit(struct newest *newest);

/* The same of a thread that has no place. */
void newest_set_far(struct newest *newest, uint32_t tid, uint64_t key);
bool newest_take_far(struct newest *newest, uint32_t tid, uint64_t key);

/* A thread is handed a block; key: its address and domain, never 0. */
static inline void newest_set(struct newest *newest, uint32_t tid, uint64_t key)
{
	struct newest_place *place = &newest->places[tid % NEWEST_PLACES];

	if (place->tid != tid && (place->tid || place->others)) {
		newest_set_far(newest, tid, key);
		return;
	}
	place->tid = tid;
	place->key = key;
}

/* It frees one: is that its newest? Then it has none any more. */
static inline bool newest_take(struct newest *newest, uint32_t tid, uint64_t key)
{
	struct newest_place *place = &newest->places[tid % NEWEST_PLACES];

	if (place->tid != tid)
		return place->others && newest_take_far(newest, tid, key);
	if (place->key != key)
		return false;
	place->key = 0;
	return true;
}

/* A thread has ended. */
void newest_forget(struct newest *newest, uint32_t tid);
