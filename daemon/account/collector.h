#pragma once
/* collector: one record of the ring, put where it belongs.
 *
 * Pure. What comes from the ring is not trusted to be well formed: a record that is too short, of
 * no known type, or holds impossible counts is counted and left alone.
 * Order: a STACK record comes before the first record that uses its id; the records of one thread
 * are in the order in which things happened to it.
 * After an EXEC the profile of the old program is closed: what follows is ignored and counted.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "anon.h"
#include "bpf/dhat_abi.h"
#include "heap.h"
#include "mappings.h"
#include "newest.h"
#include "own_frees.h"
#include "stack.h"
#include "thread_names.h"

#define COLLECTOR_TYPES (DHAT_RECORD_REPLACED + 1)

struct collector_child {
	pid_t pid;
	uint64_t time_ns; /* CLOCK_MONOTONIC: it was there then */
};

/* What records have told besides blocks, for those who look after tables, probes and children. */
struct collector_news {
	bool has_mapped; /* something was mapped; mappings know it already */
	bool has_changed;
	uint32_t epoch;	   /* of the last CHANGE */
	bool has_replaced; /* EXEC */
	bool has_exited;
	uint32_t wait_status;
	bool is_out_of_memory;		  /* the kernel has killed it for that */
	struct collector_child *children; /* FORK; owned */
	size_t child_count, child_capacity;
};
void collector_news_deinit(struct collector_news *news);

struct collector {
	struct heap *heap; /* borrowed, as are the next two */
	struct stacks *stacks;
	struct mappings *mappings;
	struct collector_news news; /* since they were taken */
	bool is_closed;		    /* an EXEC came */
	uint64_t records[COLLECTOR_TYPES];
	struct anon anon; /* owned */
	uint64_t malformed;
	uint64_t thread_cache_frees; /* an ending thread's cache, given back: no program's frees */
	uint64_t nested_frees;	     /* inside another free of the same block */
	struct own_frees *own_frees; /* owned */
	struct newest newest;	     /* owned; for temporary blocks: heap.h, H10 */
	struct thread_names names;   /* of threads, dead ones, too */
	uint64_t ignored;	     /* after the EXEC */
	uint64_t out_of_memory;	     /* events that could not be recorded */
	uint64_t mappings_refused;   /* mappings beyond the bounds of mappings.h */
	uint64_t last_time_ns;
};

/* -ENOMEM. To be deinitialised in any case. */
int collector_init(struct collector *collector, struct heap *heap, struct stacks *stacks,
		   struct mappings *mappings);

void collector_deinit(struct collector *collector);

/* record: size bytes, aligned to 8. -EBADMSG: malformed; -ENOMEM: not recorded; both are counted,
 * and the next record may follow. */
int collector_feed(struct collector *collector, const void *record, size_t size);

/* Many, in their order: as if each were fed alone, but what they need of the tables is fetched for
 * some of them at once. (A large service's event misses the caches at three or four places.) */
struct iovec;
void collector_feed_all(struct collector *collector, const struct iovec *records, size_t count);

/* What a thread is called that was there before the first record; what a record has told of it, or
 * will, is better. */
void collector_name_thread(struct collector *collector, uint32_t tid,
			   const char name[DHAT_THREAD_CHARS]);

/* The news since the last call: the caller deinits them. */
struct collector_news collector_take_news(struct collector *collector);

/* Of its heap's figures: frees that are not to be called unknown, since a thread is giving its
 * cache back just now, as it seems. Returns how many. */
uint64_t collector_hold_back(const struct collector *collector, struct heap_totals *totals);

/* Usable bytes of a glibc block at addr from dhat_record_free.chunk; 0 if that cannot be a chunk's
 * size. */
uint64_t collector_chunk_bytes(uint64_t addr, uint64_t chunk);
