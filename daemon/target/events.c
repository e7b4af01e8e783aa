/* What happens to a target: its ring is emptied, its figures are read, it ends. */
#include "private.h"

#include "proto/base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* ---- the ring -------------------------------------------------------------------------------- */

static void take_records(void *context, const struct iovec *records, size_t count)
{
	struct target *target = context;

	collector_feed_all(&target->collector, records, count);
}

/* What a batch has told: with `lock`, what it means for the target … */
static void note_news(struct target *target, const struct collector_news *news)
{
	if (news->has_changed) {
		target->collector_epoch = news->epoch;
		atomic_store(&target->is_stopped, target->options.from_start);
	}
	if (news->has_exited) {
		target->life.has_wait_status = true;
		target->life.wait_status = news->wait_status;
		target->life.is_out_of_memory = news->is_out_of_memory;
	}
	if (news->has_replaced) {
		target_close_profile(target, TARGET_REPLACED, "it replaced its program (exec)");
		atomic_store(&target->is_replaced, true);
	}
	target->life.child_count += news->child_count;
}

/* … and without, what others shall do. */
static void pass_news(struct target *target, const struct collector_news *news)
{
	const struct target_hooks *hooks = &target->services.hooks;

	if ((news->has_mapped || news->has_changed) && hooks->wants_mapper)
		hooks->wants_mapper(hooks->context, target);
	if (news->has_replaced && hooks->replaced)
		hooks->replaced(hooks->context, target);
	for (size_t i = 0; i < news->child_count && target->options.follow_fork; i++)
		if (hooks->forked)
			hooks->forked(hooks->context, target, news->children[i].pid,
				      news->children[i].time_ns);
}

/* With `lock`, which it gives up. */
static size_t drain_and_unlock(struct target *target, size_t max)
{
	struct collector_news news;
	size_t count = 0;

	if (target->tracer)
		count = ring_drain_groups(tracer_ring(target->tracer), max, take_records, target);
	news = collector_take_news(&target->collector);
	/* at once: what others do to their probes meanwhile may cost us ours */
	if (target->tracer && tracer_has_lost_anchor(target->tracer))
		tracer_find_anchor(target->tracer, NULL);
	if (target->tracer && tracer_has_unread(target->tracer))
		target_look_soon(target);
	note_news(target, &news);
	target_unlock(target);
	pass_news(target, &news);
	collector_news_deinit(&news);
	return count;
}

static size_t drain(struct target *target, size_t max)
{
	target_lock(target);
	return drain_and_unlock(target, max);
}

bool target_try_drain(struct target *target, size_t max, size_t *ret)
{
	if (!target_try_lock(target))
		return false;
	*ret = drain_and_unlock(target, max);
	return true;
}

void target_drain_all(struct target *target)
{
	while (drain(target, 65536) == 65536)
		;
}

void target_drain_now(struct target *target)
{
	uint64_t used;

	target_lock(target);
	used = target->tracer ? ring_used_bytes(tracer_ring(target->tracer)) : 0;
	target_unlock(target);
	for (uint64_t taken = 0; taken < used;) {
		size_t count = drain(target, 4096);

		taken +=
			count * sizeof(struct dhat_record_free); /* the smallest that is frequent */
		if (count < 4096)
			break;
	}
}

void target_begin_life(struct target *target)
{
	uint64_t unix_ns = clock_now_ns(CLOCK_REALTIME), now_ns = clock_now_ns(CLOCK_MONOTONIC);

	target_lock(target);
	target->life.since_ns = target->figures.tick_ns = now_ns;
	target->figures.cpu_percent = -1;
	target->life.since_unix_ns = unix_ns;
	heap_pass_time(target->heap, now_ns, 0); /* its history begins */
	if (target->options.with_lifetimes)
		heap_keep_lifetimes(target->heap, now_ns);
	target_unlock(target);
	places_set_seen(&target->places, unix_ns);
}

/* Until the first reading after a second; ticks come once a second. */
static void watch_beginning(const struct target_life *life, struct target_figures *figures)
{
	const uint64_t *stops = figures->counters + DHAT_CTR_STOP_FIRST;

	if (!life->since_ns || figures->first_ns >= 1000000000)
		return;
	figures->first_ns = clock_now_ns(CLOCK_MONOTONIC) - life->since_ns;
	figures->first_whole = stops[DHAT_STOP_COMPLETE];
	figures->first_stacks = 0;
	for (int stop = 0; stop < DHAT_STOP_COUNT; stop++)
		figures->first_stacks += stops[stop];
}

void target_read_counters(struct target *target)
{
	if (!target->tracer)
		return;
	tracer_counters(target->tracer, target->figures.counters);
	watch_beginning(&target->life, &target->figures);
	target->figures.missed_runs = tracer_misses(target->tracer);
	target->figures.anchor_gaps = tracer_anchor_gaps(target->tracer);
}

void target_tick(struct target *target)
{
	const struct target_hooks *hooks = &target->services.hooks;
	struct target_figures *figures = &target->figures;
	const uint64_t *counters = figures->counters;
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC), allocs, frees, others;
	uint64_t unsampled_allocs, unsampled_frees, handed_out;
	struct heap_totals totals;
	bool wants_weighing;
	double seconds;

	if (!target_try_lock(target))
		return;
	target_read_counters(target);
	allocs = counters[DHAT_CTR_ALLOCS] + counters[DHAT_CTR_REALLOCS];
	frees = counters[DHAT_CTR_FREES];
	unsampled_allocs = counters[DHAT_CTR_UNSAMPLED_ALLOCS];
	unsampled_frees = counters[DHAT_CTR_UNSAMPLED_FREES];
	others = counters[DHAT_CTR_FREE_NULL] + counters[DHAT_CTR_NESTED] +
		 counters[DHAT_CTR_FAILED] + counters[DHAT_CTR_FOREIGN];
	seconds = (now - figures->tick_ns) / 1e9;
	if (seconds > 0.5) {
		heap_totals(target->heap, &totals);
		handed_out = allocs - figures->tick_allocs +
			     (unsampled_allocs - figures->tick_unsampled_allocs);
		figures->alloc_bytes =
			handed_out ? (double)(totals.total_bytes - figures->tick_bytes) /
					     (double)handed_out
				   : 0;
		figures->tick_bytes = totals.total_bytes;
		figures->allocs_per_second = (allocs - figures->tick_allocs) / seconds;
		figures->frees_per_second = (frees - figures->tick_frees) / seconds;
		figures->tick_allocs = allocs;
		figures->others_per_second = (others - figures->tick_others) / seconds;
		figures->unsampled_allocs_per_second =
			(unsampled_allocs - figures->tick_unsampled_allocs) / seconds;
		figures->unsampled_frees_per_second =
			(unsampled_frees - figures->tick_unsampled_frees) / seconds;
		figures->tick_unsampled_allocs = unsampled_allocs;
		figures->tick_unsampled_frees = unsampled_frees;
		figures->tick_frees = frees;
		figures->tick_others = others;
		figures->tick_ns = now;
	}
	if (target->tracer) /* should it have failed at the moment when it was told */
		tracer_find_anchor(target->tracer, NULL);
	target_charge_grown(target);
	wants_weighing = target_look_for_doubt(target, now);
	target_unlock(target);
	if (wants_weighing && hooks->wants_weighing)
		hooks->wants_weighing(hooks->context, target);
	if (hooks->wants_look)
		hooks->wants_look(hooks->context, target);
	if (target_has_look_due(target, now) && hooks->wants_mapper)
		hooks->wants_mapper(hooks->context, target);
	if (target_has_hidden_due(target, now) && hooks->wants_trial)
		hooks->wants_trial(hooks->context, target);
}

/* The number may have become another process's meanwhile: who is older than the reading was there.
 */
void target_look_at_memory(struct target *target)
{
	uint64_t bytes, cpu_ns;

	if (target_state_of(target) != TARGET_ATTACHED ||
	    proc_resident_bytes(target->pid, &bytes) || proc_cpu_ns(target->pid, &cpu_ns) ||
	    proc_start_ticks(target->pid) != target->identity.start_ticks)
		return;
	target_lock(target);
	if (target->life.since_ns && target->life.state == TARGET_ATTACHED)
		heap_pass_time(target->heap, clock_now_ns(CLOCK_MONOTONIC), bytes);
	target_note_cpu(target, cpu_ns, clock_now_ns(CLOCK_MONOTONIC));
	target_unlock(target);
}

void target_tell(struct target *target, const char *text)
{
	const struct target_hooks *hooks = &target->services.hooks;

	if (hooks->told)
		hooks->told(hooks->context, target, text);
}

/* ---- its end --------------------------------------------------------------------------------- */

void target_close_profile(struct target *target, enum target_state state, const char *detail)
{
	if (target->life.state != TARGET_ATTACHED)
		return;
	target->life.state = state;
	target->life.end_ns = clock_now_ns(CLOCK_MONOTONIC);
	snprintf(target->life.detail, sizeof(target->life.detail), "%s", detail);
}

bool target_has_exited(struct target *target)
{
	struct pollfd poll_fd = { .fd = target->pidfd, .events = POLLIN };
	int status;

	if (atomic_load(&target->is_replaced))
		return false; /* it is another target's, which may be traced just now */
	if (target->options.from_start) {
		if (waitpid(target->pid, &status, WNOHANG) != target->pid || WIFSTOPPED(status))
			return false; /* it lives, or stands still for us */
		target_lock(target);
		target->life.has_wait_status = true;
		target->life.wait_status = status;
		target_unlock(target);
		return true;
	}
	return poll(&poll_fd, 1, 0) > 0;
}

bool target_wait_status(struct target *target, int *ret)
{
	bool is_known;

	target_lock(target);
	is_known = target->life.has_wait_status;
	*ret = target->life.wait_status;
	target_unlock(target);
	return is_known;
}

/* With `lock`: the state that the wait status means, and the details. */
static enum target_state describe_end(const struct target *target, char *ret, size_t size)
{
	int status = target->life.wait_status;

	if (!target->life.has_wait_status)
		snprintf(ret, size, "it ended");
	else if (WIFSIGNALED(status))
		snprintf(ret, size, "signal %d (SIG%s)%s", WTERMSIG(status),
			 sigabbrev_np(WTERMSIG(status)) ?: "?",
			 target->life.is_out_of_memory ? ", the kernel's OOM killer" : "");
	else
		snprintf(ret, size, "exit status %d", WEXITSTATUS(status));
	return target->life.has_wait_status && WIFSIGNALED(status) ? TARGET_KILLED : TARGET_EXITED;
}

void target_close_ended(struct target *target)
{
	enum target_state state;
	char detail[64];

	target_lock(target);
	state = describe_end(target, detail, sizeof(detail));
	target_close_profile(target, state, detail);
	target_unlock(target);
}

/* A breakpoint that no probe stands behind is fatal; the target's own are, too. */
void target_explain_end(struct target *target)
{
	static const char text[] =
		"it died by SIGTRAP. If it has no breakpoints of its own, it was ours: in a copy "
		"of "
		"its code that it made while it was watched (huge-page remapping, hook libraries), "
		"or put back by a debugger: LIMITS in dhatd(8)";
	bool is_trap;

	target_lock(target);
	is_trap = target->life.has_wait_status && WIFSIGNALED(target->life.wait_status) &&
		  WTERMSIG(target->life.wait_status) == SIGTRAP;
	target_unlock(target);
	if (!is_trap)
		return;
	findings_note(&target->findings, text);
	target_tell(target, text);
}
