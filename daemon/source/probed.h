#pragma once
/* probed: what has been probed of a process, or would be, as `status` and `plan` show it. */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/kernel/uprobe.h"
#include "daemon/object/sites/site.h"

struct probe {
	char *function, *object_path; /* of any length: C++ names, deep folders */
	char allocator[64], instruction[64], note[96];
	const char *link, *returns_by; /* static */
	uint8_t role;
	uint16_t allocator_at;				 /* in probed.allocators */
	bool is_emulated, is_executed_by_us, is_refused; /* neither: it is single-stepped */
	bool traps_at_return;				 /* as well */
	uint64_t function_vaddr, site_vaddr, file_offset;
};

struct probed_allocator {
	char name[64]; /* "glibc 2.36" */
	char *path;    /* of its file, as the process sees it */
	bool is_glibc; /* its heap can be read from outside: inventory.h */
};

struct probed { /* starts zeroed */
	struct probe *probes;
	struct probed_allocator *allocators; /* in the order of finding; a name may come twice */
	size_t probe_count, allocator_count;
};

/* The sites (one at least) of an allocator that were found in a file. kind: of the links; with
 * UPROBE_KINDS there are none. -ENOMEM: some may be missing. */
int probed_add(struct probed *probed, const struct sites *sites, const char *path,
	       enum uprobe_kind kind);
/* -ENOMEM: the copy ends at what there was memory for. */
int probed_copy(const struct probed *probed, struct probed *ret);
void probed_deinit(struct probed *probed);

/* Does glibc's malloc hand out all of them? Then its heaps are as inventory.h knows them. */
bool probed_is_only_glibc(const struct probed *probed);
/* How many traps a call of this role costs, by the first probe that has it (DHAT_ROLE_MALLOC and
 * DHAT_ROLE_FREE are the usual ones): one, another for its return, and PROBED_STEPPED for one whose
 * instruction the kernel single-steps. 0: there is no such probe. */
unsigned probed_traps(const struct probed *probed, uint8_t role);
#define PROBED_STEPPED 10 /* traps, where the kernel single-steps an instruction: README */

/* "glibc 2.36, jemalloc 5.3.0": each once. NULL: no memory. The caller frees. */
char *probed_names(const struct probed *probed);
