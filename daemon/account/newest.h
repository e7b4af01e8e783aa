#pragma once
/* newest: of each thread the block that it was handed last, as long as it lives; and the number of
 * what it is called (thread_names.h).
 *
 * Pure. Most threads have a place of their own, which is found without hashing; those whose numbers
 * meet in one are in an index. A thread that ends is forgotten, so that there is an entry for each
 * living one at most. Where there is no memory for one its blocks are never the newest, and its
 * name is not known.
 */
#include <stdbool.h>
#include <stdint.h>

#define NEWEST_PLACES 1024

struct index;

struct newest_place {
	uint64_t key;
	uint32_t tid;	 /* 0: nobody's */
	uint16_t others; /* threads that meet here, and are in the index: of 2^22 that there can be
			    2^12 */
	uint8_t name;	 /* 0: not known */
};

struct newest {
	struct newest_place places[NEWEST_PLACES];
	struct index *by_tid;
};

/* 0 or -ENOMEM. To be given to newest_deinit() when it failed, too. */
int newest_init(struct newest *newest);
void newest_deinit(struct newest *newest);

/* The same of a thread that has no place. */
uint8_t newest_set_far(struct newest *newest, uint32_t tid, uint64_t key);
bool newest_take_far(struct newest *newest, uint32_t tid, uint64_t key);

/* A thread is handed a block; key: its address and domain, never 0. Returns the thread's name. */
static inline uint8_t newest_set(struct newest *newest, uint32_t tid, uint64_t key)
{
	struct newest_place *place = &newest->places[tid % NEWEST_PLACES];

	if (place->tid != tid) {
		if (place->tid || place->others)
			return newest_set_far(newest, tid, key);
		place->tid = tid;
		place->name = 0;
	}
	place->key = key;
	return place->name;
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

/* What a thread is called now; is_guess: it counts only as long as nothing else was told. */
void newest_name(struct newest *newest, uint32_t tid, uint8_t name, bool is_guess);

/* What a thread is called; 0: not known. */
uint8_t newest_name_of(const struct newest *newest, uint32_t tid);

/* A thread has ended. */
void newest_forget(struct newest *newest, uint32_t tid);
