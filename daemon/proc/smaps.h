#pragma once
/* smaps: the mappings of a process with what of them is in memory, as /proc/PID/smaps tells.
 *
 * Pure: text in, structs out (proc(5)).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Of VmFlags: */
#define SMAPS_DEVICE 1u /* io, pf: may be a device's registers */
#define SMAPS_USERFAULT                                                                            \
	2u		/* um, uw, ui: a page that is touched may be filled in by another process */
#define SMAPS_TAGGED 4u /* mt: addresses have tags, which the machine checks */

struct smaps_entry {
	uint64_t start, end;
	uint64_t rss_bytes, anonymous_bytes; /* the second is part of the first */
	uint64_t swap_bytes;
	bool is_file; /* has an inode */
	bool is_executable, is_shared;
	unsigned flags; /* SMAPS_…; of Linux 3.8 and later */
	char name[32];	/* "[heap]", "[stack]", …; "" for files and nameless memory */
};

struct smaps {
	struct smaps_entry *entries; /* by ascending address */
	size_t count;
};

/* -EBADMSG: not of this format. The caller frees by smaps_deinit(). */
int smaps_parse(FILE *file, struct smaps *ret);
void smaps_deinit(struct smaps *smaps);
/* The mapping that addr is in; count if it is in none. */
size_t smaps_find(const struct smaps *smaps, uint64_t addr);
