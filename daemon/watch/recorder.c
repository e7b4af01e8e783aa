#include "recorder.h"

#include "keeper.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/parallel.h"
#include "proto/base/say.h"
#include "proto/base/units.h"
#include "reading.h"
#include "spool.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INTERVAL_NS 1000000000ull

struct watched {
	struct target *target; /* a reference */
	/* The watch that it is looked at by. target_watch() says another as soon as a reload has
	 * decided so; adopt() alone follows it, for what is kept here was made for this one. */
	uint32_t number;
	struct trigger_state *states; /* of the triggers of that watch, in their order */
	size_t state_count;	      /* as many as it has triggers, or 0 */
	struct overhead overhead;
	uint64_t next_every_ns, next_push_ns; /* CLOCK_MONOTONIC */
	struct since *since;		      /* its last push; NULL: there was none */
	bool is_told;			      /* recorder_ended() */
	bool is_met;			      /* it has been looked at with these settings */
	bool is_over;			      /* nothing more is to be seen of it */
	struct keep_reason due;		      /* why it is to be kept, and is not yet */
	uint64_t rss_bytes;		      /* when it was looked at last */
};

struct watch_list {
	struct watch_settings *list;
	size_t count;
};

struct recorder {
	struct recorder_options options;
	struct keeper *keeper;
	pthread_t thread;
	bool has_thread;

	/* the thread's */
	struct cgroup_view view;
	struct watch_list watches;
	struct watched *watched;
	size_t count, capacity;
	size_t next_regular; /* its profile is kept next, of those that are due only for the time */

	pthread_mutex_t lock; /* guards what follows; nothing else is locked with it */
	pthread_cond_t wake;
	bool is_ending, is_asked;
	bool has_next;
	struct watch_list next;
	struct target **ended; /* references */
	size_t ended_count, ended_capacity;
};

static void free_watches(struct watch_list *watches)
{
	for (size_t i = 0; i < watches->count; i++)
		watch_deinit(&watches->list[i]);
	free(watches->list);
	*watches = (struct watch_list){ 0 };
}

/* One that has none: nothing is to be done about it. */
static const struct watch_settings *numbered(const struct watch_list *watches, uint32_t number)
{
	static const struct watch_settings none;

	return number < watches->count ? &watches->list[number] : &none;
}

static const struct watch_settings *settings_of(const struct recorder *recorder,
						const struct watched *watched)
{
	return numbered(&recorder->watches, watched->number);
}

/* ---- the targets that are looked at ---------------------------------------------------------- */

static struct watched *find(struct recorder *recorder, const struct target *target)
{
	for (size_t i = 0; i < recorder->count; i++)
		if (recorder->watched[i].target == target)
			return &recorder->watched[i];
	return NULL;
}

/* 0: never. */
static uint64_t next_of(uint64_t interval_ns)
{
	return interval_ns ? clock_now_ns(CLOCK_MONOTONIC) + interval_ns : UINT64_MAX;
}

/* NULL: no memory. */
static struct watched *add(struct recorder *recorder, struct target *target)
{
	uint32_t number = target_watch(target);
	const struct watch_settings *settings = numbered(&recorder->watches, number);
	struct watched *watched = find(recorder, target);

	if (watched)
		return watched;
	if (array_make_room(&recorder->watched, &recorder->capacity, recorder->count))
		return NULL;
	watched = &recorder->watched[recorder->count];
	*watched = (struct watched){
		.number = number,
		.states = calloc(settings->trigger_count + 1, sizeof(*watched->states)),
		.state_count = settings->trigger_count,
		.next_every_ns = next_of(settings->every_ns),
		.next_push_ns = next_of(settings->push.every_ns),
	};
	if (!watched->states)
		return NULL;
	for (size_t i = 0; i < settings->trigger_count; i++)
		trigger_begin(&settings->triggers[i], &watched->states[i]);
	watched->target = target_ref(target);
	recorder->count++;
	return watched;
}

static void forget(struct recorder *recorder, struct watched *watched)
{
	target_unref(watched->target);
	free(watched->states);
	since_free(watched->since);
	*watched = recorder->watched[--recorder->count];
}

/* "watching it took 4.1% of a core for 30.0 s, more than the 3.0% of --max-overhead" */
static void say_cost(const struct watch_settings *settings, const struct overhead_figures *mean,
		     char *ret, size_t size)
{
	char time[DHAT_UNIT_CHARS];

	snprintf(ret, size,
		 "watching it took %.1f%% of a core for %s, more than the %.1f%% of --max-overhead",
		 mean->hundredths / 100, dhat_format_duration(settings->max_overhead.ns, time),
		 (double)settings->max_overhead.hundredths / 100);
}

#define REASON_CHARS 512

static void let_go(struct recorder *recorder, struct target *target, const char *reason)
{
	struct dhat_error err = { 0 };
	char note[REASON_CHARS + 32];

	snprintf(note, sizeof(note), "detached by itself: %s", reason);
	if (targets_detach(recorder->options.targets, target_pid(target), &err)) {
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd",
			    "process %d costs more than --max-overhead, and stays: %s",
			    (int)target_pid(target), err.message);
		return;
	}
	target_add_note(target, note);
	target_note_detached(target, reason);
	dhat_say_at(DHAT_LEVEL_WARNING, "dhatd", "process %d: %s", (int)target_pid(target), note);
}

/* It costs too much: the next step. What is still being listed is waited for: O2. */
static void make_cheaper(struct recorder *recorder, struct target *target, bool is_sampled,
			 const struct overhead_bound *bound, const struct overhead_figures *mean,
			 char *reason, size_t size)
{
	size_t used = strlen(reason);
	double left = 0;
	uint64_t sample_bytes = is_sampled ? 0 : overhead_choose(bound, mean, &left);
	char text[DHAT_UNIT_CHARS];
	struct dhat_error err = { 0 };
	int error;

	if (is_sampled)
		snprintf(reason + used, size - used, ", by a sample");
	else
		snprintf(reason + used, size - used, "; with a sample it is taken to be %.1f%%",
			 left / 100);
	if (!sample_bytes) {
		let_go(recorder, target, reason);
		return;
	}
	error = target_sample(target, sample_bytes, reason, &err);
	if (error == -EBUSY || error == -ESRCH)
		return;
	used = strlen(reason);
	if (error) {
		snprintf(reason + used, size - used, ", which cannot be: %.200s", err.message);
		let_go(recorder, target, reason);
		return;
	}
	dhat_say_at(DHAT_LEVEL_WARNING, "dhatd",
		    "process %d: sampled by itself, 1 block per %s: %s", (int)target_pid(target),
		    dhat_format_size(sample_bytes, text), reason);
}

static void check_overhead(struct recorder *recorder, struct watched *watched,
			   const struct target_glance *glance, uint64_t now_ns)
{
	const struct watch_settings *settings = settings_of(recorder, watched);
	const struct overhead_bound *bound = &settings->max_overhead;
	const struct overhead_figures now = { glance->cost_hundredths, glance->walk_hundredths,
					      glance->alloc_bytes };
	struct overhead_figures mean;
	char reason[REASON_CHARS];

	if (!bound->hundredths || !overhead_step(&watched->overhead, bound, &now, now_ns, &mean))
		return;
	say_cost(settings, &mean, reason, sizeof(reason));
	make_cheaper(recorder, watched->target, glance->is_sampled, bound, &mean, reason,
		     sizeof(reason));
}

/* What this host does not tell about it would be waited for in vain. */
static void meet(const struct watch_settings *settings, struct watched *watched,
		 const struct trigger_reading *reading)
{
	for (size_t i = 0; i < settings->trigger_count && !watched->is_met; i++) {
		enum trigger_kind kind = settings->triggers[i].kind;

		if (!reading->is_known[kind] && reading_is_of_host(kind))
			dhat_say_at(DHAT_LEVEL_WARNING, "dhatd",
				    "process %d: '%s' will not come true: %s",
				    (int)target_pid(watched->target), settings->triggers[i].text,
				    kind != TRIGGER_PSI && reading->is_group_out_of_sight
					    ? "dhatd is in a control group namespace of its own, "
					      "as containers are, from where the group of this "
					      "process is not seen, and so is the host's first "
					      "process (hostPID: true, CAP_SYS_PTRACE)"
					    : "this host does not tell that of it");
	}
	watched->is_met = true;
}

static bool is_push_due(const struct watch_settings *settings, struct watched *watched,
			enum target_state state, uint64_t now_ns)
{
	bool is_last = state != TARGET_ATTACHED && settings->push.every_ns;

	if (!is_last && now_ns < watched->next_push_ns)
		return false;
	watched->next_push_ns = next_of(settings->push.every_ns);
	return true;
}

/* What was allocated since the last push would be lost. */
static void push_rest(struct recorder *recorder, struct watched *watched)
{
	const struct watch_settings *settings = settings_of(recorder, watched);
	const struct keep_reason reason = { .is_push = true };

	if (settings->push.every_ns)
		keeper_keep(recorder->keeper, settings, watched->target, 0, &reason,
			    &watched->since);
}

/* What is due of it now. Of an end we are told, too: looked at before that, it would come twice
 * (make soak saw it). */
static void look_at(struct recorder *recorder, struct watched *watched, bool is_asked)
{
	const struct watch_settings *settings = settings_of(recorder, watched);
	uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
	struct keep_reason *due = &watched->due;
	struct trigger_reading reading;
	struct target_glance glance;
	bool is_attached;

	target_glance(watched->target, &glance);
	is_attached = glance.state == TARGET_ATTACHED;
	watched->is_over = glance.state == TARGET_DETACHED || (!is_attached && watched->is_told);
	if (glance.state == TARGET_DETACHED || (!is_attached && !watched->is_told))
		return;
	watched->rss_bytes = glance.rss_bytes;
	reading_take(settings, watched->target, &glance, &recorder->view, &reading);
	if (is_attached)
		meet(settings, watched, &reading);
	for (size_t i = 0; i < watched->state_count; i++)
		if (trigger_step(&settings->triggers[i], &watched->states[i], &reading, now_ns))
			keep_reason_add(due, trigger_word(settings->triggers[i].kind),
					settings->triggers[i].text);
	if (is_asked && is_attached)
		keep_reason_add(due, "signal", "SIGUSR2");
	if (now_ns >= watched->next_every_ns) {
		watched->next_every_ns = next_of(settings->every_ns);
		if (is_attached && !due->word)
			keep_reason_add(due, SPOOL_EVERY, SPOOL_EVERY);
	}
	due->is_push |= is_push_due(settings, watched, glance.state, now_ns);
	if (!is_attached)
		return;
	target_look_after_sample(watched->target);
	check_overhead(recorder, watched, &glance, now_ns);
}

static void look_at_each(struct recorder *recorder, bool is_asked)
{
	for (size_t i = 0; i < recorder->count; i++)
		if (!recorder->watched[i].is_over)
			look_at(recorder, &recorder->watched[i], is_asked);
}

static void meet_targets(struct recorder *recorder)
{
	struct target **list = NULL;
	size_t count = 0;

	if (targets_list(recorder->options.targets, &list, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		if (target_state_of(list[i]) == TARGET_ATTACHED)
			add(recorder, list[i]);
		target_unref(list[i]);
	}
	free(list);
}

/* What has happened goes before what is regular, of which one after the other has its turn from
 * `first` on. NULL: nothing is due. */
static struct watched *next_due(struct recorder *recorder, size_t first)
{
	struct watched *regular = NULL;

	for (size_t i = 0; i < recorder->count; i++) {
		struct watched *watched = &recorder->watched[(first + i) % recorder->count];

		if (keep_reason_is_news(&watched->due))
			return watched;
		if (!regular && (watched->due.word || watched->due.is_push))
			regular = watched;
	}
	return regular;
}

/* A turn looks no more once it has lasted so long: what comes then comes in the next one. */
#define TURN_NS 10000000000ull

enum outlook { LOOK_ON, END_TURN, END_ALL };

static enum outlook see_who_waits(struct recorder *recorder, uint64_t turn_ns)
{
	enum outlook ret = turn_ns > TURN_NS ? END_TURN : LOOK_ON;

	pthread_mutex_lock(&recorder->lock);
	if (recorder->is_ending)
		ret = END_ALL;
	else if (recorder->is_asked || recorder->has_next || recorder->ended_count)
		ret = END_TURN;
	pthread_mutex_unlock(&recorder->lock);
	return ret;
}

/* Keeping the profiles of dozens takes a while. Triggers are looked at meanwhile, those of new
 * targets, too: what rises and falls again would not be seen. What is regular may be due again by
 * then; it comes in the next turn, for which whoever ended, asks or reloads is not kept waiting. */
static void keep_what_is_due(struct recorder *recorder)
{
	uint64_t began_ns = clock_now_ns(CLOCK_MONOTONIC), looked_ns = began_ns, now_ns;
	size_t regular_left = recorder->count;
	enum outlook outlook = LOOK_ON;
	struct watched *watched;

	while ((watched = next_due(recorder, recorder->next_regular))) {
		struct keep_reason reason = watched->due;

		if (!keep_reason_is_news(&reason)) {
			bool is_first = regular_left == recorder->count; /* one a turn, at least */

			if ((outlook == END_TURN && !is_first) || regular_left-- == 0)
				return;
			recorder->next_regular = watched - recorder->watched + 1;
		}
		watched->due = (struct keep_reason){ 0 };
		keeper_keep(recorder->keeper, settings_of(recorder, watched), watched->target,
			    watched->rss_bytes, &reason, &watched->since);
		now_ns = clock_now_ns(CLOCK_MONOTONIC);
		if (now_ns - looked_ns < INTERVAL_NS)
			continue;
		outlook = see_who_waits(recorder, now_ns - began_ns);
		if (outlook != LOOK_ON)
			continue; /* with what has happened, until that is kept */
		meet_targets(recorder);
		look_at_each(recorder, false);
		looked_ns = clock_now_ns(CLOCK_MONOTONIC);
	}
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* What is known of a trigger that is there still: none fires again for that it was read anew. */
static int carry_over_states(const struct watch_settings *before,
			     const struct watch_settings *after, struct watched *watched)
{
	struct trigger_state *states = calloc(after->trigger_count + 1, sizeof(*states));

	if (!states)
		return -ENOMEM;
	for (size_t i = 0; i < after->trigger_count; i++)
		for (size_t j = 0; j < watched->state_count; j++)
			if (!strcmp(after->triggers[i].text, before->triggers[j].text))
				states[i] = watched->states[j];
	free(watched->states);
	watched->states = states;
	watched->state_count = after->trigger_count;
	return 0;
}

static void carry_over(const struct watch_settings *before, const struct watch_settings *after,
		       struct watched *watched)
{
	if (carry_over_states(before, after, watched)) {
		watched->state_count = 0;
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd",
			    "process %d: no memory for its triggers, none of which fires until the "
			    "next reload",
			    (int)target_pid(watched->target));
	}
	watched->is_met = false;
	if (before->every_ns != after->every_ns)
		watched->next_every_ns = next_of(after->every_ns);
	if (before->push.every_ns != after->push.every_ns)
		watched->next_push_ns = next_of(after->push.every_ns);
}

/* While its destination is there still, if it is to be there no longer. */
static void push_rests(struct recorder *recorder, const struct watch_list *next)
{
	for (size_t i = 0; i < recorder->count; i++) {
		struct watched *watched = &recorder->watched[i];
		const struct push_settings *before = &settings_of(recorder, watched)->push;
		const struct push_settings *after =
			&numbered(next, target_watch(watched->target))->push;

		if (before->url && (!after->url || !push_settings_is_same(before, after)))
			push_rest(recorder, watched);
	}
}

static void set_destinations(struct recorder *recorder, const struct watch_list *watches)
{
	const struct push_settings **pushes = calloc(watches->count + 1, sizeof(*pushes));
	struct dhat_error err = { 0 };

	for (size_t i = 0; i < watches->count && pushes; i++)
		pushes[i] = &watches->list[i].push;
	if (!pushes || pusher_set(recorder->options.pusher, pushes, watches->count, &err))
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s",
			    *err.message ? err.message : strerror(ENOMEM));
	free(pushes);
	pusher_tell_left(recorder->options.pusher);
}

static void adopt(struct recorder *recorder, struct watch_list *next)
{
	struct watch_list before = recorder->watches;

	push_rests(recorder, next);
	set_destinations(recorder, next);
	for (size_t i = 0; i < recorder->count; i++) {
		struct watched *watched = &recorder->watched[i];
		uint32_t number = target_watch(watched->target);

		carry_over(numbered(&before, watched->number), numbered(next, number), watched);
		watched->number = number;
	}
	recorder->watches = *next;
	free_watches(&before);
}

static void look_at_all(struct recorder *recorder, bool is_asked)
{
	meet_targets(recorder);
	look_at_each(recorder, is_asked);
	keep_what_is_due(recorder);
	for (size_t i = 0; i < recorder->count;) {
		struct watched *watched = &recorder->watched[i];

		if (!watched->is_over || watched->due.word || watched->due.is_push) {
			i++;
			continue;
		}
		if (target_state_of(watched->target) == TARGET_DETACHED)
			push_rest(recorder, watched);
		forget(recorder, watched);
	}
	keeper_look_after(recorder->keeper);
}

/* With `lock`, which it gives up meanwhile. */
static void take_turn(struct recorder *recorder)
{
	_cleanup_free_ struct target **ended = take_ptr(recorder->ended);
	size_t ended_count = recorder->ended_count;
	struct watch_list next = recorder->next;
	bool has_next = recorder->has_next, is_asked = recorder->is_asked;

	recorder->next = (struct watch_list){ 0 };
	recorder->has_next = recorder->is_asked = false;
	recorder->ended_count = recorder->ended_capacity = 0;
	pthread_mutex_unlock(&recorder->lock);
	if (has_next)
		adopt(recorder, &next);
	for (size_t i = 0; i < ended_count; i++) {
		/* it may never have been met; or it was let go just before, and is forgotten */
		struct watched *watched = target_state_of(ended[i]) == TARGET_DETACHED
						  ? NULL
						  : add(recorder, ended[i]);

		if (watched)
			watched->is_told = true;
		target_unref(ended[i]);
	}
	look_at_all(recorder, is_asked);
	pthread_mutex_lock(&recorder->lock);
}

static void *record(void *context)
{
	struct recorder *recorder = context;

	pthread_mutex_lock(&recorder->lock);
	while (!recorder->is_ending) {
		uint64_t until_ns = clock_now_ns(CLOCK_MONOTONIC) + INTERVAL_NS;
		struct timespec until = { until_ns / 1000000000, until_ns % 1000000000 };

		take_turn(recorder);
		if (!recorder->ended_count && !recorder->is_asked && !recorder->is_ending)
			pthread_cond_clockwait(&recorder->wake, &recorder->lock, CLOCK_MONOTONIC,
					       &until);
	}
	take_turn(recorder); /* what has ended until now */
	pthread_mutex_unlock(&recorder->lock);
	keeper_finish(recorder->keeper);
	return NULL;
}

int recorder_new(const struct recorder_options *options, struct recorder **ret,
		 struct dhat_error *err)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));
	const struct keeper_options keeper = { options->symbolizer, options->book, options->pusher,
					       options->folder };
	int error;

	if (!recorder)
		return dhat_error_errno(err, ENOMEM, "cannot watch targets");
	recorder->options = *options;
	recorder->view.top = CGROUP_TOP;
	recorder->view.outer_top = CGROUP_OUTER_TOP;
	pthread_mutex_init(&recorder->lock, NULL);
	pthread_cond_init(&recorder->wake, NULL);
	error = keeper_new(&keeper, &recorder->keeper);
	if (error == 0)
		error = -pthread_create(&recorder->thread, NULL, record, recorder);
	recorder->has_thread = error == 0;
	if (error) {
		recorder_free(recorder);
		return dhat_error_errno(err, -error, "cannot watch targets");
	}
	*ret = recorder;
	return 0;
}

static void join(void *context, size_t number)
{
	const struct recorder *recorder = context;

	pthread_join(recorder->thread, NULL);
}

/* It may be keeping profiles of dozens, and what has ended comes after that. */
void recorder_stop(struct recorder *recorder)
{
	struct parallel parallel = { .one = join, .context = recorder };

	if (!recorder || !recorder->has_thread)
		return;
	parallel.step = recorder->options.step;
	parallel.step_context = recorder->options.context;
	pthread_mutex_lock(&recorder->lock);
	recorder->is_ending = true;
	pthread_cond_signal(&recorder->wake);
	pthread_mutex_unlock(&recorder->lock);
	parallel_run(&parallel, 1);
	recorder->has_thread = false;
}

void recorder_keep_last(struct recorder *recorder, struct target *target)
{
	const struct watched *watched = find(recorder, target);
	const struct watch_settings *settings =
		watched ? settings_of(recorder, watched)
			: numbered(&recorder->watches, target_watch(target));
	struct keep_reason reason = { 0 };

	if (target_is_kept(target))
		return;
	keep_reason_add(&reason, SPOOL_STOP, SPOOL_STOP);
	keeper_keep(recorder->keeper, settings, target, 0, &reason, NULL);
}

void recorder_push_last(struct recorder *recorder)
{
	for (size_t i = 0; i < recorder->count; i++) {
		push_rest(recorder, &recorder->watched[i]);
		if (recorder->options.step)
			recorder->options.step(recorder->options.context);
	}
}

void recorder_free(struct recorder *recorder)
{
	if (!recorder)
		return;
	recorder_stop(recorder);
	while (recorder->count)
		forget(recorder, &recorder->watched[recorder->count - 1]);
	free(recorder->watched);
	for (size_t i = 0; i < recorder->ended_count; i++) /* since the last turn */
		target_unref(recorder->ended[i]);
	free(recorder->ended);
	free_watches(&recorder->watches);
	free_watches(&recorder->next);
	keeper_free(recorder->keeper);
	pthread_cond_destroy(&recorder->wake);
	pthread_mutex_destroy(&recorder->lock);
	free(recorder);
}

int recorder_set(struct recorder *recorder, const struct watch_settings *list, size_t count)
{
	struct watch_list copy = { calloc(count + 1, sizeof(*copy.list)), 0 }, before;

	if (!copy.list)
		return -ENOMEM;
	for (; copy.count < count; copy.count++)
		if (watch_copy(&list[copy.count], &copy.list[copy.count])) {
			free_watches(&copy);
			return -ENOMEM;
		}
	pthread_mutex_lock(&recorder->lock);
	before = recorder->next;
	recorder->next = copy;
	recorder->has_next = true;
	pthread_mutex_unlock(&recorder->lock);
	free_watches(&before);
	return 0;
}

void recorder_ended(struct recorder *recorder, struct target *target)
{
	pthread_mutex_lock(&recorder->lock);
	if (array_make_room(&recorder->ended, &recorder->ended_capacity, recorder->ended_count) ==
	    0)
		recorder->ended[recorder->ended_count++] = target_ref(target);
	pthread_cond_signal(&recorder->wake);
	pthread_mutex_unlock(&recorder->lock);
}

void recorder_keep_all(struct recorder *recorder)
{
	pthread_mutex_lock(&recorder->lock);
	recorder->is_asked = true;
	pthread_cond_signal(&recorder->wake);
	pthread_mutex_unlock(&recorder->lock);
}
