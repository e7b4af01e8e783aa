#pragma once
/* pages: what is answered by HTTP: each path, from the targets to the bytes.
 *
 *	/			the report of the target, or a list of them
 *	/report			the report of one (.html)
 *	/metrics		for Prometheus: metrics.h
 *	/debug/pprof/heap	for go tool pprof; with ?seconds= what has changed meanwhile
 *	/debug/pprof/allocs	the same, what was allocated first
 *	/snapshot		all that is known (.dhat)
 *
 * ?pid= or ?program= (which is the same after a restart) chooses one of several targets.
 *
 * One profile is made at a time, and one page of metrics beside it, so that many clients cost
 * what one costs. The page of metrics is made anew only when PAGES_REST times as long has passed
 * as making one takes: who asks sooner gets the last one. (The shorter of the last two counts:
 * names that were looked up for the first time are no measure.)
 */
#include "daemon/lookup/symbolizer.h"
#include "daemon/push/pusher.h"
#include "daemon/target/targets.h"
#include "server.h"

#define PAGES_REST 20 /* 5 % of a core for all scrapes together */
#define PAGES_REST_MAX_NS 60000000000ull
#define PAGES_WELL_NS 5000000000ull
#define PAGES_MAX_SECONDS 600	/* of a difference; */
#define PAGES_MAX_DIFFERENCES 4 /* each holds a profile so long */

struct pages;
struct holds_book;

/* All are borrowed. */
int pages_new(struct targets *targets, struct symbolizer *symbolizer, struct holds_book *book,
	      struct pusher *pusher, struct pages **ret);
void pages_free(struct pages *pages);

/* For http_server_new(), with struct pages as its context. Well: targets_take_turns() within
 * PAGES_WELL_NS. */
bool pages_are_well(void *pages);
void pages_answer(void *pages, const struct http_request *request, struct http_answer *ret);
