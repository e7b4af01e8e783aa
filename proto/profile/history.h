#pragma once
/* history: how points of a snapshot came to what is live of them. Pure.
 *
 * A point has the least that was live in each of some slots of equal width (SnapshotEnd.history):
 * a point that goes up and down keeps its low, and what is never freed is in all lows from then on.
 * Lows of several points may be added up: the sum is at most the low of the sum.
 */
#include <stdbool.h>
#include <stdint.h>

#include "snapshot.h"

#define DHAT_HISTORY_SLOTS 16 /* a snapshot with more is read as one without */

/* How many slots there are; 0: the snapshot has no histories. The last one is not over. */
uint32_t dhat_history_slots(const struct dhat_snapshot *snapshot);
/* The slot of a time since the observation began. */
uint32_t dhat_history_slot_at(const struct dhat_snapshot *snapshot, uint64_t since_ns);
/* When a slot begins, since the observation began. */
uint64_t dhat_history_slot_begin(const struct dhat_snapshot *snapshot, uint32_t slot);

/* What of the process was resident when that was last read; 0: it never was. */
uint64_t dhat_history_last_rss(const struct dhat_snapshot *snapshot);

/* Adds a point's lows to sums. Whatever the file holds: none is negative, and sums stay at
 * UINT64_MAX. */
void dhat_history_add(const struct dhat_snapshot *snapshot, const Dhat__ProgramPoint *point,
		      uint64_t sums[DHAT_HISTORY_SLOTS]);

/* By least squares over lows[from … to - 1]: bytes a minute; 0 of fewer than 3 slots. At
 * most 10^18 either way. */
double dhat_history_slope(const uint64_t *lows, uint32_t from, uint32_t to, uint64_t slot_ns);
/* The same from the slot behind the one in which the first block came, in which the low is 0. */
double dhat_history_growth(const struct dhat_snapshot *snapshot, const uint64_t *lows,
			   uint64_t first_ns);

/* Lows in slots of another width or beginning: of each new slot the least of all that it overlaps;
 * before there were any it is 0, and behind the last as that. start_ns: of one clock. */
struct dhat_history_grid {
	uint64_t start_ns, slot_ns;
	uint32_t count;
};
void dhat_history_fit(const struct dhat_history_grid *from, const uint64_t *lows,
		      const struct dhat_history_grid *to, uint64_t ret[DHAT_HISTORY_SLOTS]);
