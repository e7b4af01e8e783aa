#pragma once
/* uprobes: an allocator's functions as a source of events: from sites to probes.
 *
 * Knows a tracer and a file, and of no target.
 */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/kernel/tracer.h"
#include "daemon/object/sites/site.h"

/* The places of all sites, exits included: frees first, each place once. Cookies are numbered from
 * first_number on, in the sites' order; those that are refused have a number, too. domain: see
 * struct dhat_record. The caller frees *ret. */
int uprobes_place(const struct sites *sites, uint8_t domain, size_t first_number,
		  struct uprobe_site **ret, size_t *ret_count);
/* fd: of the file that the sites are in. All or nothing; none is fine. */
int uprobes_attach(struct tracer *tracer, int fd, const struct uprobe_site *places, size_t count,
		   struct dhat_error *err);
