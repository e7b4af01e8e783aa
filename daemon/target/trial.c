#include "trial.h"

#include "daemon/kernel/features.h"
#include "daemon/kernel/tracer.h"
#include "daemon/source/uprobes.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TRIAL_RING_BYTES (4u << 20)
#define TRIAL_CALLS 20000 /* enough to judge, and little to look through */
#define TRIAL_DOMAIN 1	  /* any: it is the only one */

DEFINE_CLEANUP_PTR(struct tracer *, tracer_free)

struct recording {
	struct conduct_call *calls;
	size_t count;
};

/* Probed as a realloc, a function tells its first two arguments and its result; but not those calls
 * of which the first is 0. */
static void take(void *context, const void *data, size_t size)
{
	struct recording *recording = context;
	const struct dhat_record_realloc_end *end = data;

	if (size < sizeof(*end) || end->head.type != DHAT_RECORD_REALLOC_END ||
	    end->site >= OBJECT_MAX_ENTRIES || recording->count == TRIAL_CALLS)
		return;
	recording->calls[recording->count++] = (struct conduct_call){
		.entry = end->site,
		.arg1 = end->old_addr,
		.arg2 = end->size_bytes,
		.result = end->new_addr,
	};
}

/* All entries, by their numbers: refused are those that there is no place in. */
static size_t watch_all(const struct survey *survey, struct sites *ret)
{
	size_t usable = 0;

	for (size_t i = 0; i < survey->desc.entry_count; i++) {
		const struct site *site = survey_candidate(survey, i, CONDUCT_REALLOC, false);

		ret->list[ret->count++] = site ? *site : (struct site){ .is_refused = true };
		usable += site && !site->is_refused;
	}
	return usable;
}

/* Perf links are let go of one by one, a tenth of a second each: if that is what we were asked for,
 * better ones will do for the trial. */
static enum uprobe_kind choose_kind(const struct target *target)
{
	int kind = target->kind == UPROBE_PERF && !target->has_seccomp ? 0 : (int)target->kind;

	while (kind < UPROBE_PERF && features_links(kind, NULL))
		kind++;
	return kind;
}

static void record(struct target *target, struct tracer *tracer, struct recording *recording,
		   bool *ret_was_cut)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	uint64_t began = clock_now_ns(CLOCK_MONOTONIC), spent = 0;
	uint32_t epoch = tracer_epoch(target->tracer);

	tracer_open_gate(tracer);
	while (recording->count < TRIAL_CALLS && !*ret_was_cut &&
	       spent < (recording->count < TRIAL_FEW ? TRIAL_MAX_NS : TRIAL_NS)) {
		nanosleep(&pause, NULL);
		ring_drain(tracer_ring(tracer), SIZE_MAX, take, recording);
		spent = clock_now_ns(CLOCK_MONOTONIC) - began;
		*ret_was_cut = target->is_ending ||
			       (target->is_observed && tracer_epoch(target->tracer) != epoch);
	}
	tracer_close_gate(tracer);
}

int target_try_entries(struct target *target, int fd, const struct survey *survey,
		       struct trial *ret, struct dhat_error *err)
{
	_cleanup_(tracer_free_ptr) struct tracer *tracer = NULL;
	_cleanup_free_ struct conduct_call *calls = calloc(TRIAL_CALLS, sizeof(*calls));
	struct tracer_options options = {
		.pid = target->pid,
		.ring_bytes = TRIAL_RING_BYTES,
		.kind = choose_kind(target),
		.closes_on_exec = true,
	};
	_cleanup_free_ struct uprobe_site *places = NULL;
	struct site list[OBJECT_MAX_ENTRIES];
	struct sites sites = { .list = list };
	struct recording recording = { .calls = calls };
	struct conduct conduct = { .roles = ret->roles };
	uint64_t counters[DHAT_CTR_COUNT] = { 0 };
	size_t place_count = 0;
	int error;

	*ret = (struct trial){ 0 };
	if (!calls)
		return -ENOMEM;
	if (!watch_all(survey, &sites))
		return -ENOENT;
	error = uprobes_place(&sites, TRIAL_DOMAIN, 0, &places, &place_count);
	if (error == 0)
		error = tracer_new(&options, &tracer, err);
	if (error == 0)
		error = uprobes_attach(tracer, fd, places, place_count, err);
	if (error)
		return error;
	record(target, tracer, &recording, &ret->was_cut);
	tracer_counters(tracer, counters);
	tracer_detach(tracer);
	error = conduct_judge(calls, recording.count, survey->desc.entry_count, &conduct);
	ret->call_count = recording.count;
	/* with gaps in it a record proves nothing */
	ret->is_proven = error == 0 && conduct.is_proven && !counters[DHAT_CTR_DROP_REALLOC] &&
			 !counters[DHAT_CTR_SHED_ALLOC];
	return error;
}
