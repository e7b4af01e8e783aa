/* The few figures that are looked at each second, and what watching costs. */
#include "private.h"

#include "daemon/kernel/features.h"

#define LEAST_CPU_NS 500000000ull /* between two readings: copies are taken at any time */

void target_note_cpu(struct target *target, uint64_t cpu_ns, uint64_t now_ns)
{
	struct target_figures *figures = &target->figures;

	if (figures->cpu_read_ns && now_ns - figures->cpu_read_ns < LEAST_CPU_NS)
		return;
	if (figures->cpu_read_ns && cpu_ns >= figures->cpu_ns)
		figures->cpu_percent = 100.0 * (double)(cpu_ns - figures->cpu_ns) /
				       (double)(now_ns - figures->cpu_read_ns);
	figures->cpu_ns = cpu_ns;
	figures->cpu_read_ns = now_ns;
}

void target_price(const struct target *target, struct price *ret)
{
	price_of(&target->probed.shown, features_trap_ns(target->kind), ret);
}

/* The price is a guess: more than the process uses it cannot be. */
static double at_most(const struct target_figures *figures, double percent)
{
	return figures->cpu_percent >= 0 && percent > figures->cpu_percent ? figures->cpu_percent
									   : percent;
}

static struct price_rates rates_of(const struct target_figures *figures)
{
	return (struct price_rates){
		.allocs = figures->allocs_per_second,
		.frees = figures->frees_per_second + figures->unsampled_frees_per_second,
		.others = figures->others_per_second,
		.unsampled = figures->unsampled_allocs_per_second,
	};
}

double target_cost_percent(const struct target *target)
{
	const struct price_rates rates = rates_of(&target->figures);
	struct price price;

	target_price(target, &price);
	return at_most(&target->figures, price_percent(&price, &rates));
}

/* Where the price is too much for what the process uses, its parts are, as well. */
static void note_cost(const struct target *target, struct target_glance *ret)
{
	struct price_rates rates = rates_of(&target->figures);
	struct price price;
	double all, traps;

	target_price(target, &price);
	all = price_percent(&price, &rates);
	rates.unsampled += rates.allocs;
	rates.allocs = 0;
	traps = price_percent(&price, &rates);
	ret->cost_hundredths = 100 * at_most(&target->figures, all);
	ret->walk_hundredths = all > 0 ? ret->cost_hundredths * (all - traps) / all : 0;
	ret->alloc_bytes = target->figures.alloc_bytes;
}

/* The number may have become another process's meanwhile: see target_look_at_memory(). */
static uint64_t resident_bytes(const struct target *target)
{
	uint64_t bytes;

	return proc_resident_bytes(target->pid, &bytes) ||
			       proc_start_ticks(target->pid) != target->identity.start_ticks
		       ? 0
		       : bytes;
}

/* Bit by bit, so that another mean does not change what was freed long ago. (Frees may turn out to
 * have been no such ones: it goes back then.) */
static uint64_t note_freed_before(struct target_figures *figures, const struct heap_totals *totals)
{
	int64_t frees = (int64_t)(totals->unknown_frees - figures->unknown_frees);
	uint64_t told_bytes = totals->unknown_free_bytes - figures->unknown_free_bytes;

	if (!told_bytes && frees > 0 && totals->live_blocks)
		told_bytes = (uint64_t)((double)frees * (double)totals->live_bytes /
					(double)totals->live_blocks);
	figures->unknown_frees = totals->unknown_frees;
	figures->unknown_free_bytes = totals->unknown_free_bytes;
	return figures->freed_before_bytes += told_bytes;
}

void target_glance(struct target *target, struct target_glance *ret)
{
	struct heap_totals totals;

	*ret = (struct target_glance){ 0 };
	target_lock(target);
	ret->state = target->life.state;
	ret->is_out_of_memory = target->life.is_out_of_memory;
	heap_totals(target->heap, &totals);
	collector_hold_back(&target->collector, &totals);
	ret->live_bytes = totals.live_bytes;
	ret->is_listing = target->is_taking_inventory;
	ret->freed_before_bytes = note_freed_before(&target->figures, &totals);
	ret->failed = target->figures.counters[DHAT_CTR_FAILED];
	ret->is_sampled = heap_sample_of(target->heap)->bytes != 0;
	if (ret->state == TARGET_ATTACHED)
		note_cost(target, ret);
	target_unlock(target);
	if (ret->state == TARGET_ATTACHED)
		ret->rss_bytes = resident_bytes(target);
}
