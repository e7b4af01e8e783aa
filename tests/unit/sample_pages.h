#pragma once
/* sample_pages: the sample with pages; figures of two of its points, and sums that fit. */
#include "proto/base/qualifiers.h"
#include "proto/profile/pages.h"
#include "tests/unit/sample.h"

static inline void sample_point_pages(Dhat__ProgramPoint *point, uint64_t resident,
				      uint64_t swapped, uint64_t untouched)
{
	point->resident_bytes = resident;
	point->swapped_bytes = swapped;
	point->untouched_bytes = untouched;
	point->n_beside_bytes = 3;
	point->beside_bytes = calloc(3, sizeof(*point->beside_bytes));
	point->beside_bytes[0] = 1000;
	point->beside_bytes[2] = 2 << 20;
	point->alone_bytes = 3 << 20;
	point->highest_blocks = 12;
	point->highest_bytes = 1200;
}

static inline struct dhat_snapshot *sample_with_pages(void)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	Dhat__SnapshotHead *head = without_qualifiers(snapshot->head);
	Dhat__SnapshotEnd *end = without_qualifiers(snapshot->end);
	Dhat__Pages *pages = malloc(sizeof(*pages));

	dhat__pages__init(pages);
	pages->resident_bytes = 10 << 20;
	pages->live_bytes = 1 << 20;
	pages->beside_bytes = 6 << 20;
	pages->below_bytes = 2 << 20;
	pages->above_bytes = 1 << 20;
	pages->swapped_bytes = 4096;
	pages->highest_blocks = 24;
	pages->highest_bytes = 2400;
	pages->highest_gain_bytes = 2 << 20;
	pages->knows_all_blocks = pages->is_glibc = true;
	end->pages = pages;
	head->has_pages = true;
	sample_point_pages(snapshot->points[0], 900000, 60000, 40000);
	sample_point_pages(snapshot->points[2], 100, 0, 0);
	return snapshot;
}
