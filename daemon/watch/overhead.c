#include "overhead.h"

#include "trigger.h"

#include <errno.h>
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
		(struct overhead_sample){ now_ns, overhead->cost };
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

bool overhead_step(struct overhead *overhead, const struct overhead_bound *bound,
		   uint64_t hundredths, uint64_t now_ns, uint64_t *ret_mean)
{
	const struct overhead_sample *from;

	if (overhead->count)
		overhead->cost += (double)hundredths * (double)(now_ns - overhead->last_ns);
	overhead->last_ns = now_ns;
	keep_sample(overhead, bound->ns, now_ns);
	from = now_ns > bound->ns ? latest_before(overhead, now_ns - bound->ns) : NULL;
	if (!from)
		return false; /* keeps O1 */
	*ret_mean = (uint64_t)((overhead->cost - from->cost) / (double)(now_ns - from->ns));
	if (*ret_mean <= bound->hundredths)
		return false;
	*overhead = (struct overhead){ 0 }; /* keeps O2 */
	return true;
}
