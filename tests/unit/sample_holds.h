#pragma once
/* sample_holds: the sample, after a scan. Of its points the first is held by the third, and that by
 * a global; the fifth is lost, as is a part of the first. */
#include "proto/base/qualifiers.h"
#include "proto/profile/held.h"
#include "tests/unit/sample.h"

#define SAMPLE_SCAN_AGE_NS 60000000000ull

static inline Dhat__HoldsSum *sample_sum(uint64_t bytes, uint64_t blocks)
{
	Dhat__HoldsSum *sum = malloc(sizeof(*sum));

	dhat__holds_sum__init(sum);
	sum->bytes = bytes;
	sum->blocks = blocks;
	return sum;
}

static inline void sample_point_holds(Dhat__ProgramPoint *point, uint64_t held, uint64_t lost,
				      uint32_t by)
{
	Dhat__HoldsChain *chain = malloc(sizeof(*chain));

	point->holds = malloc(sizeof(*point->holds));
	dhat__point_holds__init(point->holds);
	point->holds->lost = lost ? sample_sum(lost, lost / 100) : NULL;
	if (!held) {
		free(chain);
		return;
	}
	point->holds->held = sample_sum(held, held / 100);
	dhat__holds_chain__init(chain);
	chain->held = sample_sum(held, held / 100);
	chain->words = held / 100;
	chain->root = chain->root_words = 1;
	if (by) {
		chain->points = malloc(sizeof(*chain->points));
		chain->points[chain->n_points++] = by;
	}
	point->holds->chains = malloc(sizeof(*point->holds->chains));
	point->holds->chains[point->holds->n_chains++] = chain;
}

static inline struct dhat_snapshot *sample_with_holds(void)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	Dhat__SnapshotEnd *end = without_qualifiers(snapshot->end);
	Dhat__Holds *holds = malloc(sizeof(*holds));
	Dhat__HoldsRoot *root = malloc(sizeof(*root));

	dhat__holds_root__init(root);
	root->name = strdup("global the_cache");
	root->kind = strdup("global");
	dhat__holds__init(holds);
	holds->roots = malloc(sizeof(*holds->roots));
	holds->roots[holds->n_roots++] = root;
	holds->held = sample_sum(904000, 9040);
	holds->lost = sample_sum(100000 + 4000, 1000 + 40);
	holds->scans = 3;
	end->totals->end_ns += 2 * SAMPLE_SCAN_AGE_NS;
	holds->taken_ns = end->totals->end_ns - SAMPLE_SCAN_AGE_NS;
	end->holds = holds;
	sample_point_holds(snapshot->points[0], 900000, 100000, 3);
	sample_point_holds(snapshot->points[4], 0, 4000, 0);
	sample_point_holds(snapshot->points[2], 4000, 0, 0);
	return snapshot;
}
