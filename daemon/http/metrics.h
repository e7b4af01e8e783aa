#pragma once
/* metrics: the page that Prometheus reads: this dhatd, its targets, and their stacks. Pure.
 *
 * A target's figures are there as long as it is watched, and not a moment longer: what Prometheus
 * has of them ends with the next scrape, and so do alerts. Of one that has ended there are, for
 * METRICS_ENDED_NS, what was live at its end and how it ended, under other names. What is live is
 * not there as long as blocks from before the attach are being listed: it would seem to grow.
 * Bounds: METRICS_MAX_TARGETS, the first ones attached to; how many are left out is on the page.
 */
#include <stdio.h>

#include "daemon/push/pusher.h"
#include "stack_series.h"
#include "watch_series.h"

#define METRICS_ENDED_NS 900000000000ull /* three scrapes, at the slowest that is usual */
#define METRICS_MAX_TARGETS 256

struct metrics_daemon {
	double cpu_seconds;
	uint64_t rss_bytes, heap_bytes, started_unix_seconds;
};

struct metrics_target; /* private */
struct metrics {       /* zeroed at first */
	struct metrics_daemon daemon;
	uint64_t now_unix_ns;
	const struct pusher_state *pushes; /* borrowed */
	size_t push_count;
	const struct search_state *searches; /* borrowed */
	size_t search_count;

	/* private */
	struct metrics_target *targets;
	size_t count, room, left_out;
};

void metrics_deinit(struct metrics *metrics);

/* -ENOMEM is the only failure; nothing has changed then. The messages are not kept. cost_percent:
 * as TargetStatus has it. */
int metrics_add_snapshot(struct metrics *metrics, const struct dhat_snapshot *snapshot,
			 double cost_percent);
/* Without stacks: of a target that has ended, or whose profile there was no room to copy. One that
 * ended too long ago is passed over. now_unix_ns has been set before. */
int metrics_add_status(struct metrics *metrics, const Dhat__TargetStatus *status);

/* One more of which there are no figures. */
void metrics_leave_out(struct metrics *metrics);

/* Failures show at the stream. */
void metrics_write(const struct metrics *metrics, FILE *file);
