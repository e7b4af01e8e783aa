#pragma once
/* counted: a room of so many bytes (reach/room.h), and what the test's program has allocated: was
 * it claimed before?
 *
 * In place of malloc and its kin, so it is included once in a program; not where a sanitizer has
 * its own: COUNTED is not defined there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/reach/room.h"

struct counted_room {
	struct room room;
	uint64_t left, most_claimed;
};

static inline bool counted_claim(void *counted_, uint64_t bytes, uint64_t *ret_left)
{
	struct counted_room *counted = counted_;

	*ret_left = counted->left;
	if (bytes > counted->left)
		return false;
	counted->left -= bytes;
	if (counted->most_claimed < counted->room.claimed_bytes + bytes)
		counted->most_claimed = counted->room.claimed_bytes + bytes;
	return true;
}

static inline void counted_give(void *counted_, uint64_t bytes)
{
	struct counted_room *counted = counted_;

	counted->left += bytes;
}

static inline void counted_room_init(struct counted_room *counted, uint64_t bytes)
{
	*counted = (struct counted_room){
		.room = { .claim = counted_claim, .give = counted_give, .context = counted },
		.left = bytes,
	};
}

/* All was given back, and nothing else. */
static inline void counted_assert_returned(const struct counted_room *counted, uint64_t bytes)
{
	assert_int_equal(counted->room.claimed_bytes, 0);
	assert_int_equal(counted->left, bytes);
}

#ifndef __SANITIZE_ADDRESS__
#define COUNTED

#include <malloc.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void __libc_free(void *block);

/* Bytes that all have asked for; what was allocated in other ways is freed, too: it may be
 * negative.
 */
static int64_t counted_live, counted_most;
static const struct room *counted_against;   /* since counted_begin(); NULL: nothing is */
static int64_t counted_base, counted_excess; /* unclaimed bytes at the most */

static void *count_block(void *block)
{
	int64_t allowed =
		counted_base + (int64_t)(counted_against ? counted_against->claimed_bytes : 0);

	counted_live += block ? (int64_t)malloc_usable_size(block) : 0;
	counted_most = counted_live > counted_most ? counted_live : counted_most;
	if (counted_against && counted_live > allowed && counted_live - allowed > counted_excess)
		counted_excess = counted_live - allowed;
	return block;
}

void *malloc(size_t size)
{
	return count_block(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
	return count_block(__libc_calloc(count, size));
}

/* Where it moves the kernel moves the pages: there are never two of them. */
void *realloc(void *block, size_t size)
{
	counted_live -= block ? (int64_t)malloc_usable_size(block) : 0;
	return count_block(__libc_realloc(block, size));
}

void *reallocarray(void *block, size_t count, size_t size)
{
	return realloc(block, count * size);
}

void free(void *block)
{
	counted_live -= block ? (int64_t)malloc_usable_size(block) : 0;
	__libc_free(block);
}

/* What is allocated from now on has to be claimed of the room. */
static inline void counted_begin(const struct room *room)
{
	counted_against = room;
	counted_base = counted_live - (int64_t)room->claimed_bytes;
	counted_most = counted_live;
	counted_excess = 0;
}

/* Returns how much was allocated at one time that was not. */
static inline int64_t counted_end(void)
{
	counted_against = NULL;
	return counted_excess;
}
#endif
