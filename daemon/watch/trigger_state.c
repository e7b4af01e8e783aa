#include "trigger_state.h"

/* ---- is it true? ----------------------------------------------------------------------------- */

static void keep_sample(const struct trigger *trigger, struct trigger_state *state, uint64_t bytes,
			uint64_t now_ns)
{
	/* the ring spans a window and two samples more */
	uint64_t interval_ns = trigger->window_ns / (TRIGGER_SAMPLES - 3);
	const struct trigger_sample *last =
		&state->samples[(state->sample_count - 1) % TRIGGER_SAMPLES];

	if (state->sample_count && now_ns - last->ns < interval_ns)
		return;
	state->samples[state->sample_count++ % TRIGGER_SAMPLES] =
		(struct trigger_sample){ now_ns, bytes };
}

/* Since the latest sample that is a window old. False: it has not been watched for so long. */
static bool find_growth(const struct trigger *trigger, const struct trigger_state *state,
			uint64_t bytes, uint64_t now_ns, uint64_t *ret)
{
	uint64_t kept =
		state->sample_count < TRIGGER_SAMPLES ? state->sample_count : TRIGGER_SAMPLES;

	for (uint64_t i = 1; i <= kept; i++) {
		const struct trigger_sample *sample =
			&state->samples[(state->sample_count - i) % TRIGGER_SAMPLES];
		int64_t growth = (int64_t)(bytes - sample->bytes);

		if (now_ns - sample->ns < trigger->window_ns)
			continue;
		*ret = growth > 0 ? growth : 0;
		return true;
	}
	return false;
}

/* Keeps T2. */
static bool is_above(const struct trigger *trigger, const struct trigger_state *state,
		     uint64_t value)
{
	return value > (state->is_true ? trigger->level - trigger->level / 20 : trigger->level);
}

void trigger_begin(const struct trigger *trigger, struct trigger_state *state)
{
	*state = (struct trigger_state){ .has_count = trigger->kind == TRIGGER_FAILED };
}

/* Keeps T3. The first count tells of what was before. */
static bool has_come(struct trigger_state *state, uint64_t count, uint64_t now_ns)
{
	bool is_new = state->has_count && count > state->count;

	state->has_count = true;
	state->count = count;
	if (is_new)
		state->event_ns = now_ns;
	return is_new || (state->is_true && now_ns - state->event_ns < TRIGGER_QUIET_NS);
}

static bool look(const struct trigger *trigger, struct trigger_state *state, uint64_t value,
		 uint64_t now_ns, bool *ret)
{
	uint64_t growth = 0;
	bool is_known = true;

	switch (trigger->kind) {
	case TRIGGER_GROWTH:
		is_known = find_growth(trigger, state, value, now_ns, &growth);
		*ret = is_known && is_above(trigger, state, growth);
		keep_sample(trigger, state, value, now_ns);
		break;
	case TRIGGER_RSS:
	case TRIGGER_LIVE:
	case TRIGGER_OVERHEAD:
	case TRIGGER_PSI:
	case TRIGGER_CGROUP_PSI:
		*ret = is_above(trigger, state, value);
		break;
	case TRIGGER_FAILED:
	case TRIGGER_HIGH:
	case TRIGGER_MAX:
		*ret = has_come(state, value, now_ns);
		break;
	case TRIGGER_EXIT:
	case TRIGGER_OOM:
	case TRIGGER_KINDS:
		*ret = value != 0;
		break;
	}
	return is_known;
}

/* ---- does it fire? --------------------------------------------------------------------------- */

bool trigger_step(const struct trigger *trigger, struct trigger_state *state,
		  const struct trigger_reading *reading, uint64_t now_ns)
{
	bool is_true = false;

	if (!reading->is_known[trigger->kind] || /* keeps T4 */
	    !look(trigger, state, reading->value[trigger->kind], now_ns, &is_true))
		return false;
	if (is_true && !state->is_true)
		state->true_since_ns = now_ns;
	state->is_true = is_true;
	if (!is_true)
		state->has_fired = false;
	if (!is_true || state->has_fired || now_ns - state->true_since_ns < trigger->for_ns)
		return false;
	state->has_fired = true; /* keeps T1 */
	return true;
}
