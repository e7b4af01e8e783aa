#pragma once
/* gone: which addresses were freed while an inventory of the blocks from before is taken, so that
 * what it says of them is known to be out of date (heap.h).
 *
 * Pure. G1: what is in here was freed since gone_begin(); all that was is, unless it has
 * overflowed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/budget.h"
#include "proto/base/index.h"

struct gone {
	struct index *addrs; /* NULL: no inventory is under way */
	bool has_overflowed;
	struct budget budget;
};

/* What it takes from now on is budget's; at most a quarter of it. */
void gone_charge(struct gone *gone, struct budget *budget);
/* -EALREADY: an inventory is under way. -ENOMEM. */
int gone_begin(struct gone *gone);
/* Of none, too. */
void gone_end(struct gone *gone);

static inline bool gone_is_kept(const struct gone *gone)
{
	return gone->addrs;
}

/* gone_note() during an inventory. */
void gone_add(struct gone *gone, uint64_t max_count, uint8_t domain, uint64_t addr);

/* Nothing is done but during an inventory. It overflows at max_count (0: no bound), at its budget's
 * end, and for want of memory. */
static inline void gone_note(struct gone *gone, uint64_t max_count, uint8_t domain, uint64_t addr)
{
	if (gone_is_kept(gone))
		gone_add(gone, max_count, domain, addr);
}

/* It was not freed after all. */
static inline void gone_forget(struct gone *gone, uint8_t domain, uint64_t addr)
{
	if (gone_is_kept(gone))
		index_remove(gone->addrs, domain, addr, NULL);
}

/* Can an inventory tell of a block there? -EEXIST: it is out of date. -EINVAL: none is under way.
 * -ENOBUFS: it has overflowed. */
int gone_ask(const struct gone *gone, uint8_t domain, uint64_t addr);
