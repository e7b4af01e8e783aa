#pragma once
/* held: of a profile whose end has holds, how much of a stack is held, and what is lost. Pure.
 *
 * That is as of a scan, which may have been long before the profile was taken. Who holds it:
 * holders.h.
 */
#include "snapshot.h"

/* Of one stack, or of several in sum. */
struct dhat_held {
	uint64_t held_bytes, held_blocks;
	uint64_t unknown_bytes, unknown_blocks;
	uint64_t lost_bytes, lost_blocks;
	uint64_t unseen_bytes, unseen_blocks; /* no holder was seen, and lost is not said */
};
void dhat_held_add(struct dhat_held *sum, const Dhat__ProgramPoint *part);

/* How old the scan was when the profile was taken. */
uint64_t dhat_held_age_ns(const struct dhat_snapshot *snapshot);

#define DHAT_HELD_CHARS 384
/* "As of a scan 2 min ago 640 KiB in 10,000 blocks are lost"; where nothing may be called so, why.
 */
void dhat_held_say(const struct dhat_snapshot *snapshot, char ret[DHAT_HELD_CHARS]);
/* Can it be told what is lost, with what was found before? Else why not, and what to do. */
bool dhat_held_is_told(const struct dhat_snapshot *snapshot, char ret[DHAT_HELD_CHARS]);

/* For who puts profiles together, or takes names or stacks away: chains, cycles, types, and what
 * roots are called, go; sums stay. */
void dhat_held_forget_chains(const struct dhat_snapshot *snapshot);
/* All goes. */
void dhat_held_forget(const struct dhat_snapshot *snapshot);
/* numbers: of each point, from 1 on, what it becomes; 0: it goes. */
void dhat_held_renumber(const struct dhat_snapshot *snapshot, const uint32_t *numbers);
