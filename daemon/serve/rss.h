#pragma once
/* rss: what the resident memory of a process consists of.
 *
 * /proc/PID/smaps tells what is in memory of each mapping, and the page table which pages that are
 * (residency.h). So of each live block that the target's profile knows it is known how much of it
 * is in memory, whoever made it; nothing else is called live. A mapping in which the allocator has
 * blocks is the allocator's; what else is in there an inventory (inventory.h) tells. Where there is
 * none, the rest is "not known". The rows always sum up to what smaps says.
 */
#include "daemon/inventory/inventory.h"
#include "daemon/proc/smaps.h"
#include "daemon/target/target.h"
#include "proto/wire/dhat.pb-c.h"

/* What the rows are made of; the part that can be tested without a process. */
struct rss_figures {
	const struct smaps *smaps;
	const struct inventory *inventory; /* NULL: this allocator's heap cannot be read */
	uint64_t resident_block_bytes;	   /* of the inventory's blocks */
	/* Of live blocks, as asked for: allocated since the attach, and before; and of them what is
	 * in memory. */
	uint64_t watched_bytes, before_bytes;
	uint64_t resident_watched_bytes, resident_before_bytes;
	uint64_t swapped_bytes; /* of both */
	bool knows_before;	/* there are no others from before */
};

/* Whole and owned by the caller: dhat__rss__free_unpacked(). NULL: out of memory. */
Dhat__Rss *rss_make_table(const struct rss_figures *figures);

/* Of a living target. copy: with points. May take some 20 s; -ECANCELED: stop, which may be NULL,
 * was raised. */
int rss_explain(const struct target_copy *copy, const atomic_bool *stop, Dhat__Rss **ret,
		struct dhat_error *err);
