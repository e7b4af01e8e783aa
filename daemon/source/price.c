#include "price.h"

#include "bpf/dhat_abi.h"

static double traps_ns(const struct probed *probed, uint8_t role, uint64_t trap_ns)
{
	unsigned traps = probed_traps(probed, role);

	return PRICE_TRAP * (double)trap_ns * (traps ? traps : 1);
}

void price_of(const struct probed *probed, uint64_t trap_ns, struct price *ret)
{
	*ret = (struct price){
		.alloc_ns =
			traps_ns(probed, DHAT_ROLE_MALLOC, trap_ns) + PRICE_WALK * (double)trap_ns,
		.unsampled_ns = traps_ns(probed, DHAT_ROLE_MALLOC, trap_ns),
		.free_ns = traps_ns(probed, DHAT_ROLE_FREE, trap_ns),
		.other_ns = PRICE_TRAP * (double)trap_ns,
	};
}

double price_percent(const struct price *price, const struct price_rates *rates)
{
	return (rates->allocs * price->alloc_ns + rates->frees * price->free_ns +
		rates->others * price->other_ns + rates->unsampled * price->unsampled_ns) /
	       1e7;
}
