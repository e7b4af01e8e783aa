#include "conduct.h"

#include "bpf/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/index.h"

/* Of a hundred calls so many may disagree: a thread is given a block before the one that frees it
 * has come to its end, and a page may change its size class meanwhile. */
#define TOLERATED_PERCENT 3

DEFINE_CLEANUP_PTR(struct index *, index_free)

struct habits { /* of one function */
	uint64_t calls, takes, gives, nulls;
};

struct judge {
	const struct conduct_call *calls;
	size_t count, entry_count;
	enum conduct_role *roles;
	struct habits *habits;
};

/* Blocks lie in user space, above the first 4 GiB in every position-independent program, and are
 * aligned to 8. */
static bool looks_like_a_block(uint64_t value)
{
	return value >> 32 && value >> DHAT_USER_BITS == 0 && value % 8 == 0;
}

static bool is_most(uint64_t part, uint64_t whole)
{
	return part * 100 >= whole * (100 - TOLERATED_PERCENT);
}

static bool gives(enum conduct_role role)
{
	return role == CONDUCT_MALLOC || role == CONDUCT_CALLOC || role == CONDUCT_ALIGNED ||
	       role == CONDUCT_REALLOC;
}

static bool takes(enum conduct_role role)
{
	return role == CONDUCT_FREE || role == CONDUCT_REALLOC;
}

/* ---- first guesses ------------------------------------------------------------------------ */

static void observe(struct judge *j)
{
	for (size_t i = 0; i < j->count; i++) {
		struct habits *habits = &j->habits[j->calls[i].entry];

		habits->calls++;
		habits->takes += looks_like_a_block(j->calls[i].arg1);
		habits->gives += looks_like_a_block(j->calls[i].result);
		habits->nulls += j->calls[i].arg1 == 0;
	}
}

/* false: it does now this, now that. */
static bool guess(const struct habits *habits, enum conduct_role *ret)
{
	uint64_t named = habits->calls - habits->nulls;

	if (habits->calls < CONDUCT_MIN_CALLS) {
		*ret = CONDUCT_UNSEEN;
	} else if (!is_most(habits->calls - habits->takes, habits->calls)) {
		if (!is_most(habits->takes, named))
			return false;
		*ret = CONDUCT_FREE;
	} else {
		*ret = is_most(habits->gives, habits->calls) ? CONDUCT_MALLOC : CONDUCT_NONE;
	}
	return true;
}

/* ---- C1: given, then taken ---------------------------------------------------------------- */

struct replay {
	uint64_t matches, contradictions, strangers;
	uint64_t late_matches, late_strangers; /* in the second half: those from before get fewer */
};

enum { SPACE_LIVE, SPACE_KNOWN };

static void take(struct index *index, uint64_t addr, bool is_late, struct replay *replay)
{
	if (index_remove(index, SPACE_LIVE, addr, NULL)) {
		replay->matches++;
		replay->late_matches += is_late;
	} else if (index_find(index, SPACE_KNOWN, addr)) {
		replay->contradictions++; /* taken twice */
	} else {
		replay->strangers++; /* from before */
		replay->late_strangers += is_late;
	}
}

static int give(struct index *index, uint64_t addr, struct replay *replay)
{
	struct index_entry *entry;
	int r = index_claim(index, SPACE_LIVE, addr, &entry);

	if (r == 0)
		replay->contradictions++; /* given twice */
	if (r >= 0)
		r = index_claim(index, SPACE_KNOWN, addr, &entry);
	return r < 0 ? r : 0;
}

static int replay(const struct judge *j, struct replay *ret)
{
	_cleanup_(index_free_ptr) struct index *index = NULL;
	int r = index_new(&index);

	*ret = (struct replay){ 0 };
	for (size_t i = 0; i < j->count && r == 0; i++) {
		const struct conduct_call *call = &j->calls[i];
		enum conduct_role role = j->roles[call->entry];

		/* a failing realloc leaves the block */
		if (takes(role) && call->arg1 && (role == CONDUCT_FREE || call->result))
			take(index, call->arg1, i > j->count / 2, ret);
		if (r == 0 && gives(role) && call->result)
			r = give(index, call->result, ret);
	}
	return r;
}

/* What takes a block frees it, resizes it, or only asks; what gives one may only tell of something
 * that is always there: whichever fits the others best. */
static int settle_roles(struct judge *j, struct replay *best)
{
	static const enum conduct_role choices[] = { CONDUCT_FREE, CONDUCT_REALLOC, CONDUCT_MALLOC,
						     CONDUCT_NONE };
	int r = replay(j, best);

	for (int round = 0; round < 3 && r == 0; round++) {
		for (size_t e = 0; e < j->entry_count && r == 0; e++) {
			enum conduct_role kept = j->roles[e];
			const struct habits *habits = &j->habits[e];
			bool may_take = !is_most(habits->calls - habits->takes, habits->calls);
			bool may_give = is_most(habits->gives, habits->calls);

			if (habits->calls < CONDUCT_MIN_CALLS)
				continue;
			for (size_t c = 0; c < ARRAY_SIZE(choices) && r == 0; c++) {
				struct replay other;

				if ((takes(choices[c]) && !may_take) ||
				    (gives(choices[c]) && !may_give) ||
				    (choices[c] == CONDUCT_MALLOC && may_take))
					continue;
				j->roles[e] = choices[c];
				r = replay(j, &other);
				if (r == 0 && other.contradictions + other.strangers <
						      best->contradictions + best->strangers) {
					*best = other;
					kept = choices[c];
				}
			}
			j->roles[e] = kept;
		}
	}
	return r;
}

/* ---- C3: sizes ---------------------------------------------------------------------------- */

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* All addresses that were ever given: in an allocator with size classes they are the slots. */
static size_t list_slots(const struct judge *j, uint64_t *slots)
{
	size_t count = 0, kept = 0;

	for (size_t i = 0; i < j->count; i++)
		if (gives(j->roles[j->calls[i].entry]) && j->calls[i].result)
			slots[count++] = j->calls[i].result;
	qsort(slots, count, sizeof(*slots), compare_u64);
	for (size_t i = 0; i < count; i++)
		if (!kept || slots[kept - 1] != slots[i])
			slots[kept++] = slots[i];
	return kept;
}

/* From this slot to the next. */
static uint64_t room_of(const uint64_t *slots, size_t count, uint64_t addr)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (slots[middle] <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count ? slots[low] - addr : UINT64_MAX;
}

static uint64_t size_by(const struct conduct_call *call, enum conduct_role role)
{
	uint64_t size;

	if (role == CONDUCT_MALLOC)
		return call->arg1;
	if (role != CONDUCT_CALLOC)
		return call->arg2;
	return __builtin_mul_overflow(call->arg1, call->arg2, &size) ? UINT64_MAX : size;
}

struct fit {
	uint64_t calls, too_large, tight;
};

/* Size classes are at most a quarter apart; the smallest is 8 or 16 bytes. */
static struct fit fit_of(const struct judge *j, size_t entry, enum conduct_role role,
			 const uint64_t *slots, size_t count)
{
	struct fit fit = { 0 };

	for (size_t i = 0; i < j->count; i++) {
		const struct conduct_call *call = &j->calls[i];
		uint64_t size = size_by(call, role), room;

		if (call->entry != entry || !call->result || !size)
			continue;
		room = room_of(slots, count, call->result);
		fit.calls++;
		fit.too_large += size > room;
		fit.tight += size <= room && room <= size + size / 4 + 16;
	}
	return fit;
}

static bool settle_sizes(struct judge *j, const uint64_t *slots, size_t count)
{
	static const enum conduct_role choices[] = { CONDUCT_MALLOC, CONDUCT_CALLOC,
						     CONDUCT_ALIGNED };
	bool is_sound = true;

	for (size_t e = 0; e < j->entry_count; e++) {
		enum conduct_role best = CONDUCT_UNSEEN;
		uint64_t tight = 0;
		struct fit fit;

		if (j->roles[e] == CONDUCT_REALLOC) {
			fit = fit_of(j, e, CONDUCT_REALLOC, slots, count);
			is_sound &= is_most(fit.calls - fit.too_large, fit.calls) && fit.tight;
			continue;
		}
		if (j->roles[e] != CONDUCT_MALLOC)
			continue;
		for (size_t c = 0; c < ARRAY_SIZE(choices); c++) {
			fit = fit_of(j, e, choices[c], slots, count);
			if (is_most(fit.calls - fit.too_large, fit.calls) && fit.tight > tight) {
				tight = fit.tight;
				best = choices[c];
			}
		}
		/* a tenth of them at least have a neighbour */
		is_sound &= best != CONDUCT_UNSEEN && tight * 10 >= j->habits[e].calls;
		if (best != CONDUCT_UNSEEN)
			j->roles[e] = best;
	}
	return is_sound;
}

/* ---- the whole ---------------------------------------------------------------------------- */

/* Takes an address, gives another one, and is no realloc: it allocates from something that has been
 * handed to it, perhaps. */
static bool is_open(const struct judge *j)
{
	for (size_t e = 0; e < j->entry_count; e++)
		if (j->roles[e] == CONDUCT_NONE && j->habits[e].takes >= CONDUCT_MIN_CALLS &&
		    is_most(j->habits[e].gives, j->habits[e].calls))
			return true;
	return false;
}

static bool has_both(const struct judge *j)
{
	bool is_given = false, is_taken = false;

	for (size_t e = 0; e < j->entry_count; e++) {
		is_given |= j->roles[e] == CONDUCT_MALLOC;
		is_taken |= j->roles[e] == CONDUCT_FREE;
	}
	return is_given && is_taken;
}

int conduct_judge(const struct conduct_call *calls, size_t count, size_t entry_count,
		  struct conduct *ret)
{
	_cleanup_free_ struct habits *habits = calloc(entry_count + 1, sizeof(*habits));
	_cleanup_free_ uint64_t *slots = calloc(count + 1, sizeof(*slots));
	struct judge j = { calls, count, entry_count, ret->roles, habits };
	struct replay replayed = { 0 };
	bool is_clear = true;
	int r;

	if (!habits || !slots)
		return -ENOMEM;
	observe(&j);
	for (size_t e = 0; e < entry_count; e++)
		is_clear &= guess(&habits[e], &j.roles[e]);
	ret->is_proven = false;
	ret->matches = ret->contradictions = 0;
	if (!is_clear)
		return 0;
	r = settle_roles(&j, &replayed);
	if (r)
		return r;
	ret->matches = replayed.matches;
	ret->contradictions = replayed.contradictions;
	ret->is_proven = has_both(&j) && !is_open(&j) &&
			 replayed.late_matches > 3 * replayed.late_strangers &&
			 replayed.matches >= CONDUCT_MIN_MATCHES &&
			 is_most(replayed.matches, replayed.matches + replayed.contradictions) &&
			 settle_sizes(&j, slots, list_slots(&j, slots));
	return 0;
}
