#include "overhead.h"

#include "trigger.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

int overhead_parse(const char *text, struct overhead_bound *ret, char *why)
{
	char words[TRIGGER_TEXT_CHARS];
	struct trigger trigger;
	int error;

	if (snprintf(words, sizeof(words), "overhead>%s", text) >= (int)sizeof(words)) {
		snprintf(why, TRIGGER_WHY_CHARS, "that is too long");
		return -EINVAL;
	}
	error = trigger_parse(words, &trigger, why);
	if (error == 0)
		*ret = (struct overhead_bound){ trigger.level, trigger.for_ns ?: OVERHEAD_NS };
	return error;
}

/* As often as the ring needs to span the time, and a little more. */
static void keep_sample(struct overhead *overhead, uint64_t window_ns, uint64_t now_ns)
{
	const struct overhead_sample *last =
		&overhead->samples[(overhead->count - 1) % OVERHEAD_SAMPLES];

	if (overhead->count && now_ns - last->ns < window_ns / (OVERHEAD_SAMPLES - 3))
		return;
	overhead->samples[overhead->count++ % OVERHEAD_SAMPLES] =
		(struct overhead_sample){ now_ns, overhead->sums };
}

/* NULL: there is none that old. */
static const struct overhead_sample *latest_before(const struct overhead *overhead, uint64_t ns)
{
	uint64_t kept = overhead->count < OVERHEAD_SAMPLES ? overhead->count : OVERHEAD_SAMPLES;

	for (uint64_t i = 1; i <= kept; i++) {
		const struct overhead_sample *sample =
			&overhead->samples[(overhead->count - i) % OVERHEAD_SAMPLES];

		if (sample->ns <= ns)
			return sample;
	}
	return NULL;
}

static struct overhead_figures mean_of(const struct overhead_sums *from,
				       const struct overhead_sums *to, double ns)
{
	double walk = to->walk - from->walk;

	return (struct overhead_figures){
		.hundredths = (to->cost - from->cost) / ns,
		.walk = walk / ns,
		.bytes = walk > 0 ? (to->bytes - from->bytes) / walk : 0,
	};
}

bool overhead_step(struct overhead *overhead, const struct overhead_bound *bound,
		   const struct overhead_figures *now, uint64_t now_ns,
		   struct overhead_figures *ret_mean)
{
	const struct overhead_sample *from;
	double ns = (double)(now_ns - overhead->last_ns);

	if (overhead->count) {
		overhead->sums.cost += now->hundredths * ns;
		overhead->sums.walk += now->walk * ns;
		overhead->sums.bytes += now->bytes * now->walk * ns;
	}
	overhead->last_ns = now_ns;
	keep_sample(overhead, bound->ns, now_ns);
	from = now_ns > bound->ns ? latest_before(overhead, now_ns - bound->ns) : NULL;
	if (!from)
		return false; /* keeps O1 */
	*ret_mean = mean_of(&from->sums, &overhead->sums, (double)(now_ns - from->ns));
	if (ret_mean->hundredths <= (double)bound->hundredths)
		return false;
	*overhead = (struct overhead){ 0 }; /* keeps O2 */
	return true;
}

/* Keeps O3. Blocks of various sizes are drawn less often than as many of their mean size. */
uint64_t overhead_choose(const struct overhead_bound *bound, const struct overhead_figures *mean,
			 double *ret_hundredths)
{
	for (uint64_t bytes = OVERHEAD_LEAST_SAMPLE; bytes <= OVERHEAD_MOST_SAMPLE; bytes *= 2) {
		double drawn = -expm1(-mean->bytes / (double)bytes);

		*ret_hundredths = mean->hundredths - mean->walk * (1 - drawn);
		if (*ret_hundredths <= OVERHEAD_MARGIN * (double)bound->hundredths)
			return bytes;
	}
	return 0;
}
