#pragma once
/* trigger_state: when a trigger fires, reading by reading. Pure; the clock is the caller's.
 *
 * T1: it fires once when it is true, and has been for as long as it says; and not again before it
 *     was false.
 * T2: a level is false again at 95 % of it, so that what sways around it fires once.
 * T3: an event is false again when none came for TRIGGER_QUIET_NS.
 * T4: what is not known is neither.
 */
#include "trigger.h"

#define TRIGGER_QUIET_NS 60000000000ull
#define TRIGGER_SAMPLES 64 /* of what was live, for growth */

/* What is seen of a target at one time. Counts are since any moment; they only ever grow. */
struct trigger_reading {
	bool is_known[TRIGGER_KINDS];
	bool is_group_out_of_sight; /* cgroup_memory.h: why it is not known */
	/* bytes, hundredths of a percent, or a count of events; of ends whether it is so; of growth
	 * what is live, counted from anything (it may wrap): only differences count */
	uint64_t value[TRIGGER_KINDS];
};

struct trigger_state { /* zeroed before the first reading */
	bool is_true, has_fired;
	uint64_t true_since_ns;
	bool has_count; /* of events */
	uint64_t count, event_ns;
	struct trigger_sample {
		uint64_t ns, bytes;
	} samples[TRIGGER_SAMPLES]; /* a ring */
	uint64_t sample_count;	    /* ever */
};

/* Of a target that was attached to just now: what is counted since then is news at the first look.
 * (Of a state that is zeroed only, the first look tells what was before: of others, or before the
 * trigger was asked for.) */
void trigger_begin(const struct trigger *trigger, struct trigger_state *state);
/* Does it fire now? now_ns never goes back. */
bool trigger_step(const struct trigger *trigger, struct trigger_state *state,
		  const struct trigger_reading *reading, uint64_t now_ns);
