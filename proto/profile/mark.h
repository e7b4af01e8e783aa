#pragma once
/* mark: moments that people have named, and what was allocated since. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot.h"

/* 1 to DHAT_MARK_MAX_CHARS letters, digits and -_+:@; the first is no hyphen, and they are not all
 * digits. So it is never taken for an option, a process, or a file with a suffix or a folder. */
#define DHAT_MARK_MAX_CHARS 63
#define DHAT_MARK_NAMES "up to 63 letters, digits and -_+:@, not digits alone"
bool dhat_is_mark_name(const char *name);

/* Blocks that live, by when they were allocated: since one mark, and before another. */
struct dhat_births {
	size_t since, before; /* numbers in SnapshotHead.marks, plus 1; since 0: none; before 0: up
			       * to now */
	bool are_older;	      /* of SnapshotHead.older_ns, instead */
	/* are_older: of this bucket of live_ages and those behind it (histogram.h), instead; 0:
	 * not. Blocks are exact then, and bytes go by the mean size of a point's live blocks. */
	uint32_t age_bucket;
};

static inline bool dhat_has_births(const struct dhat_births *births)
{
	return births->since || births->are_older;
}

/* Its number plus 1; 0: there is none of that name. */
size_t dhat_mark_find(const struct dhat_snapshot *snapshot, const char *name);

struct dhat_born {
	uint64_t bytes, blocks;
};
/* All 0 where no births are asked for. Of what was there before the attach nobody knows the age: it
 * is left out. */
struct dhat_born dhat_point_born(const Dhat__ProgramPoint *point, const struct dhat_births *births);
struct dhat_born dhat_all_born(const struct dhat_snapshot *snapshot,
			       const struct dhat_births *births);
