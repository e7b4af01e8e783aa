#pragma once
/* root_names: what people call the places from which blocks are held.
 *
 * "global response_cache", "the stack of thread worker-2, in serve_request", "epoll data". What has
 * the same name is one root: a variable whatever is in it, frames of one function in threads of one
 * name.
 */
#include "daemon/lookup/symbolizer.h"
#include "scan_once.h"

/* By class only; for scans of which only the levels are asked. */
int root_names_plain(struct scan_once *scan);
/* Roots have classes for names. knows_before: blocks from before the observation are all known, or
 * there were none: then what is in no block is none. */
int root_names_give(struct scan_once *scan, const struct target_identity *identity,
		    bool knows_before, struct symbolizer *symbolizer);
/* What an address is that is in no block: "global response_cache+16", "the stack of thread main".
 * The caller frees; NULL: nothing of the process's own is there, or no memory is left. */
char *root_names_describe(const struct scan_once *scan, const struct target_identity *identity,
			  bool knows_before, struct symbolizer *symbolizer, uint64_t addr);
