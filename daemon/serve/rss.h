#pragma once
/* rss: what the resident memory of a process consists of.
 *
 * /proc/PID/smaps tells what is in memory of each mapping. A mapping in which the allocator has
 * blocks is the allocator's; in there an inventory of the blocks (inventory.h) and the page table
 * (/proc/PID/pagemap) tell which bytes in memory belong to blocks, and the target's profile which
 * blocks those are. The rows always sum up to what smaps says.
 */
#include "daemon/inventory/inventory.h"
#include "daemon/proc/smaps.h"
#include "daemon/target/target.h"
#include "proto/wire/dhat.pb-c.h"

/* What the rows are made of; the part that can be tested without a process. */
struct rss_figures {
	const struct smaps *smaps;
	const struct inventory *inventory; /* NULL: this allocator's blocks cannot be listed */
	uint64_t resident_block_bytes;	   /* of the inventory's blocks */
	uint64_t watched_bytes;		   /* live, allocated since the attach, as asked for */
	bool knows_before;		   /* the next is all there is of them */
	uint64_t before_bytes;		   /* live, from before the attach, as far as dhatd knows */
};

/* How many bytes of [start, end) are in memory; is_present tells it of a page. */
typedef bool (*rss_is_present)(void *context, uint64_t page_number);
uint64_t rss_count_resident(uint64_t start, uint64_t end, uint64_t page_bytes,
			    rss_is_present is_present, void *context);

/* Whole and owned by the caller: dhat__rss__free_unpacked(). NULL: out of memory. */
Dhat__Rss *rss_make_table(const struct rss_figures *figures);

/* Of a living target. copy: with points. */
int rss_explain(const struct target_copy *copy, Dhat__Rss **ret, struct dhat_error *err);
