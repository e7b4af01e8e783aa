#pragma once
/* residency: which pages of a process are in memory, or swapped out, of those that are its own:
 * anonymous ones of private mappings.
 *
 * A bit a page, 32 KiB for each GiB of address space. Of mappings that together have more than
 * RESIDENCY_MAX_PAGES the rest counts as absent (a sanitizer's shadow has 14 TiB). Pages of zeros
 * that were read and never written are the kernel's and count as absent, as in smaps. It is a
 * picture of the moment at which it was taken.
 */
#include <stdint.h>
#include <sys/types.h>

#include "pagemap.h"
#include "smaps.h"

#define RESIDENCY_MAX_PAGES (1ull << 26) /* 256 GiB: half a second, and 8 MiB */

struct residency;

/* what: PAGEMAP_IN_MEMORY or PAGEMAP_SWAPPED, of which it is then. smaps: of the same process, now.
 * -ESRCH, -EPERM, -ENOMEM. */
int residency_read(pid_t pid, const struct smaps *smaps, unsigned what, struct residency **ret);
/* The same from any page table. */
int residency_read_from(struct pagemap_source *source, const struct smaps *smaps, unsigned what,
			struct residency **ret);
void residency_free(struct residency *residency);

/* How many of these bytes are so. */
uint64_t residency_bytes(const struct residency *residency, uint64_t start, uint64_t bytes);
