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

/* What `status` and `plan` show of a site, for a kind of link (UPROBE_KINDS: there is none). */
struct probe {
	char *function, *object_path; /* of any length: C++ names, deep folders */
	char allocator[64], instruction[64], note[96];
	const char *link, *returns_by; /* static */
	uint8_t role;
	bool is_emulated;
	uint64_t function_vaddr, site_vaddr, file_offset;
};
/* Append the descriptions of the sites (one at least) found in a file, and of the allocator that
 * they belong to: "glibc 2.36 (/lib/x86_64-linux-gnu/libc.so.6)". -ENOMEM: some may be missing. */
int probes_add(struct probe **list, size_t *list_count, char ***allocators,
	       const struct sites *sites, const char *path, enum uprobe_kind kind);
/* The copy ends at what there was memory for: *ret_count. */
int probes_copy(const struct probe *probes, size_t count, struct probe **ret, size_t *ret_count);
void probes_free(struct probe *probes, size_t count);
