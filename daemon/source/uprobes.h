#pragma once
/* uprobes: an allocator's functions as a source of events: from sites to probes.
 *
 * Knows a tracer and a file, and of no target.
 */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/kernel/tracer.h"
#include "daemon/object/sites/site.h"

/* Where allocations are seen: at entry and return, or where the block and its size are known, if
 * that can be proven (daemon/object/sites/results.h). */
enum uprobes_sites {
	UPROBES_SITES_FITTING, /* results, but for perf links, of which the kernel lets go one after
				* the other: there are some ten places in a function instead of one
				*/
	UPROBES_SITES_ENTRY,
	UPROBES_SITES_RESULT,
};
/* NULL, "" or unknown: what fits. */
enum uprobes_sites uprobes_sites_of_name(const char *name);
bool uprobes_use_results(enum uprobe_kind kind, enum uprobes_sites sites);
/* May programs of ours execute instructions, where that costs less? Not with perf links: there are
 * several places in a function then, too, and it is the kind for those who want nothing new. The
 * first time takes milliseconds. */
bool uprobes_may_execute(enum uprobe_kind kind);
/* The places of all sites, exits included: frees first, each place once. Cookies are numbered from
 * first_number on, in the sites' order; those that are refused have a number, too. domain: see
 * struct dhat_record. The caller frees *ret. */
int uprobes_place(const struct sites *sites, uint8_t domain, size_t first_number,
		  struct uprobe_site **ret, size_t *ret_count);
/* fd: of the file that the sites are in. All or nothing; none is fine. */
int uprobes_attach(struct tracer *tracer, int fd, const struct uprobe_site *places, size_t count,
		   struct dhat_error *err);
