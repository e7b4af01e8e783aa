#include "gone.h"

#include <errno.h>

#define SHARE 4 /* of the whole budget: the rest is for blocks and stacks */

void gone_charge(struct gone *gone, struct budget *budget)
{
	gone->budget =
		(struct budget){ .parent = budget, .limit_bytes = budget->limit_bytes / SHARE };
}

int gone_begin(struct gone *gone)
{
	if (gone_is_kept(gone))
		return -EALREADY;
	gone->has_overflowed = false;
	if (index_new(&gone->addrs))
		return -ENOMEM;
	index_charge(gone->addrs, &gone->budget);
	return 0;
}

void gone_end(struct gone *gone)
{
	index_free(gone->addrs);
	gone->addrs = NULL;
}

void gone_add(struct gone *gone, uint64_t max_count, uint8_t domain, uint64_t addr)
{
	struct index_entry *unused;

	if ((max_count && index_count(gone->addrs) >= max_count) ||
	    index_claim(gone->addrs, domain, addr, &unused) < 0)
		gone->has_overflowed = true;
}

int gone_ask(const struct gone *gone, uint8_t domain, uint64_t addr)
{
	if (!gone_is_kept(gone))
		return -EINVAL;
	if (gone->has_overflowed)
		return -ENOBUFS;
	return index_find(gone->addrs, domain, addr) ? -EEXIST : 0;
}
