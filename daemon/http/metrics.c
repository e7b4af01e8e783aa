#include "metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exposition.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/program.h"
#include "proto/profile/history.h"
#include "proto/profile/verdict.h"
#include "push_series.h"

struct loss {
	char *name;
	uint64_t value;
};

struct metrics_target {
	char program[DHAT_PROGRAM_CHARS];
	uint32_t pid;
	char *executable, *allocators, *state;
	char *container, *pod, *unit; /* "": none */
	bool is_watched, has_stacks;
	uint64_t since_unix_ns, rss_bytes;
	double cost_percent; /* of a core; < 0: not known */
	enum dhat_verdict verdict;
	uint64_t sample_bytes;	   /* 0: figures are exact */
	struct dhat_interval live; /* where what is live lies */
	Dhat__Totals totals;	   /* numbers only */
	struct loss *losses;
	size_t loss_count;
	struct stack_series_list stacks;
};

/* ---- gathering ----------------------------------------------------------------------------- */

static void target_deinit(struct metrics_target *target)
{
	for (size_t i = 0; i < target->loss_count; i++)
		free(target->losses[i].name);
	free(target->losses);
	free(target->executable);
	free(target->allocators);
	free(target->state);
	free(target->container);
	free(target->pod);
	free(target->unit);
	stack_series_deinit(&target->stacks);
	*target = (struct metrics_target){ 0 };
}

void metrics_deinit(struct metrics *metrics)
{
	for (size_t i = 0; i < metrics->count; i++)
		target_deinit(&metrics->targets[i]);
	free(metrics->targets);
	*metrics = (struct metrics){ 0 };
}

static char *join(char *const *texts, size_t count)
{
	char *joined = NULL;
	size_t size;
	FILE *file = open_memstream(&joined, &size);

	if (!file)
		return NULL;
	for (size_t i = 0; i < count; i++)
		fprintf(file, "%s%s", i ? ", " : "", texts[i]);
	if (fclose(file)) {
		free(joined);
		return NULL;
	}
	return joined;
}

static int take_losses(struct metrics_target *target, Dhat__Counter *const *counters, size_t count)
{
	target->losses = calloc(count + 1, sizeof(*target->losses));
	if (!target->losses)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct loss loss = { .value = counters[i]->value };

		if (!counters[i]->is_loss)
			continue;
		loss.name = strdup(counters[i]->name);
		if (!loss.name)
			return -ENOMEM;
		target->losses[target->loss_count++] = loss;
	}
	return 0;
}

static int take_target(struct metrics_target *target, const Dhat__Target *from,
		       const Dhat__Totals *totals, const Dhat__Verdict *verdict)
{
	dhat_program_name(from->command, from->executable, target->program);
	target->pid = from->pid;
	target->executable = strdup(from->executable);
	target->state = strdup(from->state);
	target->allocators = join(from->allocators, from->n_allocators);
	target->container = strdup(from->container ? from->container->id : "");
	target->pod = strdup(from->container ? from->container->pod : "");
	target->unit = strdup(from->unit);
	target->is_watched = strcmp(from->state, "attached") == 0;
	target->since_unix_ns = from->observed_since_unix_ns;
	target->totals = *totals;
	target->totals.sampled = NULL; /* not ours to keep */
	target->verdict = dhat_verdict_of(verdict);
	return target->executable && target->state && target->allocators && target->container &&
			       target->pod && target->unit
		       ? 0
		       : -ENOMEM;
}

/* Takes the target over, whether it fails or not. */
static int add(struct metrics *metrics, struct metrics_target *target, int error)
{
	if (error == 0)
		error = array_make_room(&metrics->targets, &metrics->room, metrics->count);
	if (error < 0)
		target_deinit(target);
	else
		metrics->targets[metrics->count++] = *target;
	return error;
}

/* Is there a place for one more? Else it is counted. */
static bool has_place(struct metrics *metrics)
{
	metrics->left_out += metrics->count >= METRICS_MAX_TARGETS;
	return metrics->count < METRICS_MAX_TARGETS;
}

/* Of one process that executed this program twice the newest end counts: a series is there once. */
static void drop_older(struct metrics *metrics, const Dhat__Target *newer)
{
	char program[DHAT_PROGRAM_CHARS];

	dhat_program_name(newer->command, newer->executable, program);
	for (size_t i = 0; i < metrics->count; i++) {
		struct metrics_target *older = &metrics->targets[i];

		if (older->pid != newer->pid || strcmp(older->program, program) != 0 ||
		    strcmp(older->state, newer->state) != 0)
			continue;
		target_deinit(older);
		memmove(older, older + 1, (--metrics->count - i) * sizeof(*older));
		return;
	}
}

static void take_intervals(struct metrics_target *target, uint64_t sample_bytes,
			   const struct dhat_evidence *evidence, const Dhat__Totals *totals)
{
	target->sample_bytes = sample_bytes;
	target->live =
		dhat_interval_of(sample_bytes, evidence, DHAT_ESTIMATED_LIVE, totals->live_bytes);
}

int metrics_add_snapshot(struct metrics *metrics, const struct dhat_snapshot *snapshot,
			 double cost_percent)
{
	const Dhat__SnapshotEnd *end = snapshot->end;
	struct dhat_evidence evidence;
	struct metrics_target target = {
		.rss_bytes = dhat_history_last_rss(snapshot),
		.has_stacks = true,
		.cost_percent = cost_percent,
	};
	int error;

	drop_older(metrics, snapshot->head->target);
	if (!has_place(metrics))
		return 0;
	dhat_evidence_of_snapshot(snapshot, &evidence);
	take_intervals(&target, snapshot->head->sample_bytes, &evidence, end->totals);
	error = take_target(&target, snapshot->head->target, end->totals, end->verdict);
	if (error == 0)
		error = take_losses(&target, end->counters, end->n_counters);
	if (error == 0)
		error = stack_series_of(snapshot, &target.stacks);
	return add(metrics, &target, error);
}

static bool has_long_ended(const struct metrics *metrics, const Dhat__TargetStatus *status)
{
	uint64_t end_ns = status->target->observed_since_unix_ns + status->totals->end_ns;

	return strcmp(status->target->state, "attached") != 0 &&
	       metrics->now_unix_ns >= end_ns + METRICS_ENDED_NS;
}

int metrics_add_status(struct metrics *metrics, const Dhat__TargetStatus *status)
{
	struct metrics_target target = { .cost_percent = status->cost_percent };
	struct dhat_evidence evidence;
	int error;

	if (has_long_ended(metrics, status))
		return 0;
	drop_older(metrics, status->target);
	if (!has_place(metrics))
		return 0;
	dhat_evidence_of_totals(status->sample_bytes, status->totals, &evidence);
	take_intervals(&target, status->sample_bytes, &evidence, status->totals);
	error = take_target(&target, status->target, status->totals, status->verdict);
	if (error == 0)
		error = take_losses(&target, status->counters, status->n_counters);
	return add(metrics, &target, error);
}

void metrics_leave_out(struct metrics *metrics)
{
	metrics->left_out++;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void begin_for(struct exposition *page, const struct metrics_target *target)
{
	exposition_begin(page);
	exposition_label(page, "program", target->program);
	exposition_label_number(page, "pid", target->pid);
}

static void put_daemon(struct exposition *page, const struct metrics *metrics)
{
	const struct metrics_daemon *daemon = &metrics->daemon;

	exposition_family(page, "dhatd_build_info", "gauge", "1; the version of dhatd");
	exposition_begin(page);
	exposition_label(page, "version", DHAT_VERSION);
	exposition_end(page, 1);
	exposition_family(page, "process_cpu_seconds_total", "counter",
			  "CPU time that dhatd itself has taken");
	exposition_begin(page);
	exposition_end_real(page, daemon->cpu_seconds);
	exposition_family(page, "process_resident_memory_bytes", "gauge",
			  "Resident memory of dhatd itself");
	exposition_begin(page);
	exposition_end(page, daemon->rss_bytes);
	exposition_family(page, "dhatd_own_heap_bytes", "gauge",
			  "What dhatd itself has allocated and not freed: without rings and what "
			  "lies free between");
	exposition_begin(page);
	exposition_end(page, daemon->heap_bytes);
	exposition_family(page, "process_start_time_seconds", "gauge",
			  "When dhatd was started, since 1970");
	exposition_begin(page);
	exposition_end(page, daemon->started_unix_seconds);
}

static void put_target_counts(struct exposition *page, const struct metrics *metrics)
{
	uint64_t watched = 0;

	for (size_t i = 0; i < metrics->count; i++)
		watched += metrics->targets[i].is_watched;
	exposition_family(page, "dhatd_targets", "gauge",
			  "Processes that are watched, of those on this page");
	exposition_begin(page);
	exposition_end(page, watched);
	exposition_family(page, "dhatd_targets_left_out", "gauge",
			  "Profiles that this page has no room for, or that could not be read");
	exposition_begin(page);
	exposition_end(page, metrics->left_out);
}

/* What is empty is as if it were not there: for Prometheus, too. */
static void put_known(struct exposition *page, const char *label, const char *value)
{
	if (*value)
		exposition_label(page, label, value);
}

/* Where it is: here only, not on each series, which are joined with it. */
static void put_info(struct exposition *page, const struct metrics *metrics)
{
	exposition_family(page, "dhatd_target_info", "gauge",
			  "1; a watched process: its program, the allocators that are probed, "
			  "its container, pod or unit of systemd");
	for (size_t i = 0; i < metrics->count; i++) {
		const struct metrics_target *target = &metrics->targets[i];

		if (!target->is_watched)
			continue;
		begin_for(page, target);
		exposition_label(page, "executable", target->executable);
		exposition_label(page, "allocators", target->allocators);
		put_known(page, "container_id", target->container);
		put_known(page, "pod_uid", target->pod);
		put_known(page, "unit", target->unit);
		exposition_end(page, 1);
	}
}

static void put_verdicts(struct exposition *page, const struct metrics *metrics)
{
	static const enum dhat_verdict verdicts[] = { DHAT_EXACT, DHAT_SAMPLED, DHAT_PARTIAL,
						      DHAT_INEXACT };

	exposition_family(page, "dhatd_verdict", "gauge",
			  "1 for how far the numbers can be trusted, 0 for the other words");
	for (size_t i = 0; i < metrics->count; i++) {
		const struct metrics_target *target = &metrics->targets[i];

		for (size_t j = 0; target->is_watched && j < ARRAY_SIZE(verdicts); j++) {
			begin_for(page, target);
			exposition_label(page, "verdict", dhat_verdict_word(verdicts[j]));
			exposition_end(page, target->verdict == verdicts[j]);
		}
	}
}

static void put_losses(struct exposition *page, const struct metrics *metrics)
{
	exposition_family(page, "dhatd_losses_total", "counter",
			  "What was lost and makes the numbers inexact, by the counters of dhatctl "
			  "status");
	for (size_t i = 0; i < metrics->count; i++) {
		const struct metrics_target *target = &metrics->targets[i];

		for (size_t j = 0; target->is_watched && j < target->loss_count; j++) {
			begin_for(page, target);
			exposition_label(page, "reason", target->losses[j].name);
			exposition_end(page, target->losses[j].value);
		}
	}
}

/* In cores, as Prometheus wants it: 1 is one that is busy with nothing else. */
static void put_costs(struct exposition *page, const struct metrics *metrics)
{
	exposition_family(page, "dhatd_target_cost_ratio", "gauge",
			  "What being watched costs the process, as a part of one core, estimated "
			  "by the number of its calls over the last second or so");
	for (size_t i = 0; i < metrics->count; i++) {
		const struct metrics_target *target = &metrics->targets[i];

		if (!target->is_watched || target->cost_percent < 0)
			continue;
		begin_for(page, target);
		exposition_end_real(page, target->cost_percent / 100);
	}
}

/* Of each watched process one number. */
static const struct {
	const char *name, *type, *help;
	size_t offset;	 /* in Dhat__Totals */
	bool has_before; /* blocks from before the attach count, and so may not be all there yet */
} heap_families[] = {
#define TOTALS(field) offsetof(Dhat__Totals, field)
	{ "dhatd_heap_live_bytes", "gauge", "Bytes that are allocated and not freed",
	  TOTALS(live_bytes), true },
	{ "dhatd_heap_live_blocks", "gauge", "Blocks that are allocated and not freed",
	  TOTALS(live_blocks), true },
	{ "dhatd_heap_peak_bytes", "gauge",
	  "The most bytes that were live at once since the attach", TOTALS(peak_bytes), true },
	{ "dhatd_heap_allocated_bytes_total", "counter", "Bytes allocated since the attach",
	  TOTALS(total_bytes), false },
	{ "dhatd_heap_allocated_blocks_total", "counter", "Blocks allocated since the attach",
	  TOTALS(total_blocks), false },
	/* no counter: some turn out to be the allocator's own, and are taken back */
	{ "dhatd_heap_freed_before_blocks", "gauge",
	  "Blocks freed since the attach that were allocated before it, and were not listed: as "
	  "many "
	  "may have taken their place in what is live",
	  TOTALS(freed_before_blocks), false },
#undef TOTALS
};

static uint64_t number_at(const void *base, size_t offset)
{
	uint64_t number;

	memcpy(&number, (const char *)base + offset, sizeof(number));
	return number;
}

static void put_heaps(struct exposition *page, const struct metrics *metrics)
{
	for (size_t f = 0; f < ARRAY_SIZE(heap_families); f++) {
		exposition_family(page, heap_families[f].name, heap_families[f].type,
				  heap_families[f].help);
		for (size_t i = 0; i < metrics->count; i++) {
			const struct metrics_target *target = &metrics->targets[i];

			if (!target->is_watched ||
			    (heap_families[f].has_before && target->totals.is_listing))
				continue;
			begin_for(page, target);
			exposition_end(page, number_at(&target->totals, heap_families[f].offset));
		}
	}
}

static bool has_sample(const struct metrics *metrics)
{
	for (size_t i = 0; i < metrics->count; i++)
		if (metrics->targets[i].is_watched && metrics->targets[i].sample_bytes)
			return true;
	return false;
}

/* Of samples only: an exact figure has no interval. */
static void put_sample(struct exposition *page, const struct metrics *metrics, const char *name,
		       const char *help, size_t offset)
{
	exposition_family(page, name, "gauge", help);
	for (size_t i = 0; i < metrics->count; i++) {
		if (!metrics->targets[i].is_watched || !metrics->targets[i].sample_bytes)
			continue;
		begin_for(page, &metrics->targets[i]);
		exposition_end(page, number_at(&metrics->targets[i], offset));
	}
}

static void put_samples(struct exposition *page, const struct metrics *metrics)
{
	put_sample(page, metrics, "dhatd_target_sample_bytes",
		   "Of a process that is watched by a sample: one block was recorded for each so "
		   "many bytes, and figures are estimates",
		   offsetof(struct metrics_target, sample_bytes));
	put_sample(page, metrics, "dhatd_heap_live_bytes_low",
		   "Of a sample: what is live at least, with the next family's at 95 %",
		   offsetof(struct metrics_target, live.low));
	put_sample(page, metrics, "dhatd_heap_live_bytes_high", "Of a sample: what is live at most",
		   offsetof(struct metrics_target, live.high));
}

static void put_stack_ends(struct exposition *page, const struct metrics *metrics, const char *name,
			   const char *help, size_t offset)
{
	exposition_family(page, name, "gauge", help);
	for (size_t i = 0; i < metrics->count; i++) {
		const struct metrics_target *target = &metrics->targets[i];

		for (size_t j = 0;
		     target->is_watched && target->sample_bytes && j < target->stacks.count; j++) {
			const struct stack_series *stack = &target->stacks.list[j];

			if (!stack->has_totals) /* the others: what is left of the whole */
				continue;
			begin_for(page, target);
			exposition_label(page, "stack", stack->name);
			exposition_end(page, number_at(stack, offset));
		}
	}
}

static void put_stack_intervals(struct exposition *page, const struct metrics *metrics)
{
	put_stack_ends(
		page, metrics, "dhatd_stack_live_bytes_low",
		"Of a sample: what is live at least of the stacks that have series, with the "
		"next family's at 95 %",
		offsetof(struct stack_series, live.low));
	put_stack_ends(page, metrics, "dhatd_stack_live_bytes_high",
		       "Of a sample: what is live at most of the same stacks",
		       offsetof(struct stack_series, live.high));
}

static void put_heap_growth(struct exposition *page, const struct metrics *metrics)
{
	exposition_family(page, "dhatd_heap_growth_bytes_per_second", "gauge",
			  "How fast what is not freed grows, over the time watched: the slope of "
			  "each stack's lows, summed");
	for (size_t i = 0; i < metrics->count; i++) {
		if (!metrics->targets[i].is_watched || !metrics->targets[i].has_stacks)
			continue;
		begin_for(page, &metrics->targets[i]);
		exposition_end_real(page, metrics->targets[i].stacks.growth);
	}
}

static void put_memory(struct exposition *page, const struct metrics *metrics)
{
	exposition_family(page, "dhatd_target_resident_memory_bytes", "gauge",
			  "Resident memory of the watched process, as it was read last");
	for (size_t i = 0; i < metrics->count; i++) {
		if (!metrics->targets[i].is_watched || !metrics->targets[i].rss_bytes)
			continue;
		begin_for(page, &metrics->targets[i]);
		exposition_end(page, metrics->targets[i].rss_bytes);
	}
}

static void put_watch_begin(struct exposition *page, const struct metrics *metrics)
{
	exposition_family(page, "dhatd_target_watched_since_seconds", "gauge",
			  "When the watch of the process began, since 1970");
	for (size_t i = 0; i < metrics->count; i++) {
		if (!metrics->targets[i].is_watched)
			continue;
		begin_for(page, &metrics->targets[i]);
		exposition_end_real(page, (double)metrics->targets[i].since_unix_ns / 1e9);
	}
}

/* ---- stacks -------------------------------------------------------------------------------- */

static const struct {
	const char *name, *type, *help;
	size_t offset; /* in struct stack_series */
	bool is_total;
} stack_families[] = {
#define SERIES(field) offsetof(struct stack_series, field)
	{ "dhatd_stack_live_bytes", "gauge",
	  "Live bytes of the stacks that keep or grow most, and of all others together",
	  SERIES(live_bytes), false },
	{ "dhatd_stack_live_blocks", "gauge", "Live blocks of the same stacks", SERIES(live_blocks),
	  false },
	{ "dhatd_stack_allocated_bytes_total", "counter",
	  "Bytes that the same stacks have allocated since the attach; the others' are "
	  "dhatd_heap_allocated_bytes_total less these",
	  SERIES(total_bytes), true },
	{ "dhatd_stack_allocated_blocks_total", "counter",
	  "Blocks that the same stacks have allocated since the attach", SERIES(total_blocks),
	  true },
#undef SERIES
};

static void begin_stack(struct exposition *page, const struct metrics_target *target,
			const struct stack_series *stack)
{
	begin_for(page, target);
	exposition_label(page, "stack", stack->name);
}

static void put_stacks(struct exposition *page, const struct metrics *metrics, size_t family)
{
	exposition_family(page, stack_families[family].name, stack_families[family].type,
			  stack_families[family].help);
	for (size_t i = 0; i < metrics->count; i++) {
		const struct metrics_target *target = &metrics->targets[i];

		for (size_t j = 0; target->is_watched && j < target->stacks.count; j++) {
			const struct stack_series *stack = &target->stacks.list[j];

			if (stack_families[family].is_total && !stack->has_totals)
				continue;
			begin_stack(page, target, stack);
			exposition_end(page, number_at(stack, stack_families[family].offset));
		}
	}
}

static void put_stack_growth(struct exposition *page, const struct metrics *metrics)
{
	exposition_family(page, "dhatd_stack_growth_bytes_per_second", "gauge",
			  "How fast what is not freed of the same stacks grows, over the time "
			  "watched");
	for (size_t i = 0; i < metrics->count; i++) {
		const struct metrics_target *target = &metrics->targets[i];

		for (size_t j = 0; target->is_watched && j < target->stacks.count; j++) {
			begin_stack(page, target, &target->stacks.list[j]);
			exposition_end_real(page, target->stacks.list[j].growth);
		}
	}
}

/* ---- those that have ended ----------------------------------------------------------------- */

static const struct {
	const char *name, *help;
	size_t offset; /* in Dhat__Totals */
} ended_families[] = {
	{ "dhatd_ended_live_bytes",
	  "Bytes that were live when the process, or its watch, ended, for 15 minutes after it",
	  offsetof(Dhat__Totals, live_bytes) },
	{ "dhatd_ended_live_blocks", "Blocks that were live at that end",
	  offsetof(Dhat__Totals, live_blocks) },
};

static void put_ended(struct exposition *page, const struct metrics *metrics)
{
	for (size_t f = 0; f < ARRAY_SIZE(ended_families); f++) {
		exposition_family(page, ended_families[f].name, "gauge", ended_families[f].help);
		for (size_t i = 0; i < metrics->count; i++) {
			const struct metrics_target *target = &metrics->targets[i];

			if (target->is_watched)
				continue;
			begin_for(page, target);
			exposition_label(page, "state", target->state);
			exposition_end(page, number_at(&target->totals, ended_families[f].offset));
		}
	}
}

void metrics_write(const struct metrics *metrics, FILE *file)
{
	struct exposition page = { .file = file };

	put_daemon(&page, metrics);
	push_series_write(&page, metrics->pushes, metrics->push_count);
	watch_series_write(&page, metrics->searches, metrics->search_count);
	put_target_counts(&page, metrics);
	put_info(&page, metrics);
	put_watch_begin(&page, metrics);
	put_verdicts(&page, metrics);
	put_losses(&page, metrics);
	put_costs(&page, metrics);
	put_heaps(&page, metrics);
	if (has_sample(metrics))
		put_samples(&page, metrics);
	put_heap_growth(&page, metrics);
	put_memory(&page, metrics);
	for (size_t f = 0; f < ARRAY_SIZE(stack_families); f++)
		put_stacks(&page, metrics, f);
	if (has_sample(metrics))
		put_stack_intervals(&page, metrics);
	put_stack_growth(&page, metrics);
	put_ended(&page, metrics);
}
