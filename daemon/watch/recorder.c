#include "recorder.h"

#include "command.h"
#include "daemon/proc/cgroup_memory.h"
#include "daemon/proc/file.h"
#include "daemon/serve/taken.h"
#include "headline.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/say.h"
#include "proto/base/texts.h"
#include "proto/export/export.h"
#include "proto/profile/verdict.h"
#include "spool.h"
#include "trigger_state.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

#define INTERVAL_NS 1000000000ull
#define BUSY_TRIES 10 /* while others have copies of a profile: see target_copy() */
#define BUSY_INTERVAL_US 200000

struct watched {
	struct target *target;	      /* a reference */
	struct trigger_state *states; /* of the triggers of its watch, in their order */
	struct trigger_state overhead;
	uint64_t next_every_ns; /* CLOCK_MONOTONIC */
	bool is_told;		/* recorder_ended() */
};

struct watch_list {
	struct watch_settings *list;
	size_t count;
};

struct recorder {
	struct recorder_options options;
	struct commands *commands;
	pthread_t thread;
	bool has_thread;

	/* the thread's */
	struct watch_list watches;
	struct watched *watched;
	size_t count, capacity;

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
static const struct watch_settings *settings_of(const struct recorder *recorder,
						const struct target *target)
{
	static const struct watch_settings none;
	uint32_t number = target_watch(target);

	return number < recorder->watches.count ? &recorder->watches.list[number] : &none;
}

/* ---- a profile is kept ----------------------------------------------------------------------- */

/* Why; of several at a time the first gives the file its name. */
struct reason {
	const char *word;
	char text[256]; /* "rss>2GiB; exit" */
};

static void add_reason(struct reason *reason, const char *word, const char *text)
{
	size_t used = strlen(reason->text);

	if (!reason->word)
		reason->word = word;
	snprintf(reason->text + used, sizeof(reason->text) - used, "%s%s", used ? "; " : "", text);
}

static int take(struct recorder *recorder, struct target *target, struct dhat_snapshot **ret,
		struct dhat_error *err)
{
	int error = -EBUSY;

	for (int i = 0; i < BUSY_TRIES && error == -EBUSY; i++) {
		if (i)
			usleep(BUSY_INTERVAL_US);
		*err = (struct dhat_error){ 0 };
		error = taken_snapshot(target, recorder->options.symbolizer, NULL, ret, err);
	}
	return error;
}

/* *ret_path: of the file, "" if there is none. */
static void save(struct recorder *recorder, const struct watch_settings *settings,
		 struct target *target, const struct dhat_snapshot *snapshot, const char *word,
		 char ret_path[PATH_MAX])
{
	char program[DHAT_PROGRAM_CHARS], name[SPOOL_NAME_CHARS];
	struct dhat_error err = { 0 };
	int error;

	target_name(target, program);
	spool_name(program, target_pid(target), clock_now_ns(CLOCK_REALTIME), word, name);
	snprintf(ret_path, PATH_MAX, "%s/%s", recorder->options.folder, name);
	error = spool_prepare(recorder->options.folder, &err);
	if (error == 0)
		error = dhat_save(snapshot, ret_path, NULL, NULL, &err);
	if (error) {
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "the profile of %d is not kept: %s",
			    (int)target_pid(target), err.message);
		*ret_path = '\0';
		return;
	}
	spool_prune(recorder->options.folder, name, settings->keep ?: WATCH_KEEP);
}

__attribute__((format(printf, 2, 3))) static void add_setting(char ***settings, const char *format,
							      ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (text)
		texts_add(settings, text);
}

static void run_command(struct recorder *recorder, const char *command,
			const struct dhat_snapshot *snapshot, uint64_t rss_bytes,
			const struct reason *reason, const char *headline, const char *path)
{
	const Dhat__Target *target = snapshot->head->target;
	struct dhat_error err = { 0 };
	char name[DHAT_PROGRAM_CHARS], **settings = NULL;

	dhat_program_name(target->command, target->executable, name);
	add_setting(&settings, "DHATD_EVENT=%s", reason->text);
	add_setting(&settings, "DHATD_HEADLINE=%s", headline);
	add_setting(&settings, "DHATD_PROGRAM=%s", name);
	add_setting(&settings, "DHATD_PID=%" PRIu32, target->pid);
	add_setting(&settings, "DHATD_STATE=%s%s%s", target->state,
		    *target->state_detail ? ": " : "", target->state_detail);
	add_setting(&settings, "DHATD_LIVE_BYTES=%" PRIu64, snapshot->end->totals->live_bytes);
	add_setting(&settings, "DHATD_RSS_BYTES=%" PRIu64, rss_bytes);
	add_setting(&settings, "DHATD_VERDICT=%s",
		    dhat_verdict_word(dhat_verdict_of(snapshot->end->verdict)));
	add_setting(&settings, "DHATD_SNAPSHOT=%s", path);
	if (settings && commands_start(recorder->commands, command, settings, &err))
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s", err.message);
	texts_free(settings);
}

static void keep(struct recorder *recorder, struct target *target, uint64_t rss_bytes,
		 const struct reason *reason)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	const struct watch_settings *settings = settings_of(recorder, target);
	bool is_every = strcmp(reason->word, SPOOL_EVERY) == 0;
	char path[PATH_MAX] = "", headline[HEADLINE_CHARS];
	struct dhat_error err = { 0 };

	if (take(recorder, target, &snapshot, &err)) {
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s: the profile of %d is not kept: %s",
			    reason->text, (int)target_pid(target), err.message);
		return;
	}
	save(recorder, settings, target, snapshot, reason->word, path);
	if (is_every)
		return; /* every ten minutes for months: nobody's news */
	headline_of(snapshot, rss_bytes, headline);
	dhat_say_at(DHAT_LEVEL_WARNING, "dhatd", "%s: %s%s%s", reason->text, headline,
		    *path ? "; kept in " : "", path);
	if (settings->command)
		run_command(recorder, settings->command, snapshot, rss_bytes, reason, headline,
			    path);
}

/* ---- what is seen of a target ---------------------------------------------------------------- */

static void set(struct trigger_reading *reading, enum trigger_kind kind, bool is_known,
		uint64_t value)
{
	reading->is_known[kind] = is_known;
	reading->value[kind] = value;
}

static bool is_wanted(const struct watch_settings *settings, enum trigger_kind first,
		      enum trigger_kind second, enum trigger_kind third)
{
	for (size_t i = 0; i < settings->trigger_count; i++)
		if (settings->triggers[i].kind == first || settings->triggers[i].kind == second ||
		    settings->triggers[i].kind == third)
			return true;
	return false;
}

static void read_group(pid_t pid, struct trigger_reading *reading)
{
	_cleanup_free_ char *groups = NULL;
	struct cgroup_memory memory;

	if (proc_read_main(pid, "cgroup", &groups, NULL))
		return;
	cgroup_memory_read(groups, CGROUP_TOP, &memory);
	set(reading, TRIGGER_HIGH, memory.has_high, memory.high);
	set(reading, TRIGGER_MAX, memory.has_max, memory.max);
	set(reading, TRIGGER_CGROUP_PSI, memory.has_pressure, memory.pressure);
}

static void read_target(const struct watch_settings *settings, struct target *target,
			const struct target_glance *glance, struct trigger_reading *ret)
{
	bool is_there = glance->state == TARGET_ATTACHED;
	uint64_t pressure = 0;

	*ret = (struct trigger_reading){ 0 };
	set(ret, TRIGGER_RSS, glance->rss_bytes > 0, glance->rss_bytes);
	set(ret, TRIGGER_LIVE, is_there, glance->live_bytes);
	set(ret, TRIGGER_GROWTH, is_there, glance->live_bytes);
	set(ret, TRIGGER_FAILED, true, glance->failed);
	set(ret, TRIGGER_OVERHEAD, is_there, glance->cost_hundredths);
	set(ret, TRIGGER_EXIT, true, !is_there);
	set(ret, TRIGGER_OOM, true, glance->is_out_of_memory);
	if (is_there && is_wanted(settings, TRIGGER_HIGH, TRIGGER_MAX, TRIGGER_CGROUP_PSI))
		read_group(target_pid(target), ret);
	if (is_wanted(settings, TRIGGER_PSI, TRIGGER_PSI, TRIGGER_PSI))
		set(ret, TRIGGER_PSI, pressure_read(&pressure) == 0, pressure);
}

/* ---- the targets that are looked at ---------------------------------------------------------- */

static struct watched *find(struct recorder *recorder, const struct target *target)
{
	for (size_t i = 0; i < recorder->count; i++)
		if (recorder->watched[i].target == target)
			return &recorder->watched[i];
	return NULL;
}

static uint64_t next_every_ns(const struct watch_settings *settings)
{
	return settings->every_ns ? clock_now_ns(CLOCK_MONOTONIC) + settings->every_ns : UINT64_MAX;
}

/* NULL: no memory. */
static struct watched *add(struct recorder *recorder, struct target *target)
{
	const struct watch_settings *settings = settings_of(recorder, target);
	struct watched *watched = find(recorder, target);

	if (watched)
		return watched;
	if (array_make_room(&recorder->watched, &recorder->capacity, recorder->count))
		return NULL;
	watched = &recorder->watched[recorder->count];
	*watched = (struct watched){
		.states = calloc(settings->trigger_count + 1, sizeof(*watched->states)),
		.next_every_ns = next_every_ns(settings),
	};
	if (!watched->states)
		return NULL;
	watched->target = target_ref(target);
	recorder->count++;
	return watched;
}

static void forget(struct recorder *recorder, struct watched *watched)
{
	target_unref(watched->target);
	free(watched->states);
	*watched = recorder->watched[--recorder->count];
}

static void let_go(struct recorder *recorder, const struct watch_settings *settings,
		   struct target *target, uint64_t cost_hundredths)
{
	struct dhat_error err = { 0 };
	char note[256];

	snprintf(
		note, sizeof(note),
		"detached by itself: watching it took %.1f%% of a core, and for %d s more than the "
		"%.1f%% of --max-overhead",
		cost_hundredths / 100.0, (int)(WATCH_OVERHEAD_NS / 1000000000),
		settings->max_overhead / 100.0);
	target_add_note(target, note);
	if (targets_detach(recorder->options.targets, target_pid(target), &err))
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd",
			    "process %d costs more than --max-overhead, and stays: %s",
			    (int)target_pid(target), err.message);
	else
		dhat_say_at(DHAT_LEVEL_WARNING, "dhatd", "process %d: %s", (int)target_pid(target),
			    note);
}

/* A bound is a trigger that nobody wrote. */
static void check_overhead(struct recorder *recorder, struct watched *watched,
			   const struct trigger_reading *reading, uint64_t now_ns)
{
	const struct watch_settings *settings = settings_of(recorder, watched->target);
	const struct trigger bound = { .kind = TRIGGER_OVERHEAD,
				       .level = settings->max_overhead,
				       .for_ns = WATCH_OVERHEAD_NS };

	if (settings->max_overhead && trigger_step(&bound, &watched->overhead, reading, now_ns))
		let_go(recorder, settings, watched->target, reading->value[TRIGGER_OVERHEAD]);
}

/* False: it has ended, and there is nothing more to be seen of it. Of an end we are told, too:
 * looked at before that, it would come twice (make soak saw it). */
static bool look_at(struct recorder *recorder, struct watched *watched, bool is_asked)
{
	const struct watch_settings *settings = settings_of(recorder, watched->target);
	uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
	struct reason reason = { 0 };
	struct trigger_reading reading;
	struct target_glance glance;

	target_glance(watched->target, &glance);
	if (glance.state == TARGET_DETACHED)
		return false;
	if (glance.state != TARGET_ATTACHED && !watched->is_told)
		return true;
	read_target(settings, watched->target, &glance, &reading);
	for (size_t i = 0; i < settings->trigger_count; i++)
		if (trigger_step(&settings->triggers[i], &watched->states[i], &reading, now_ns))
			add_reason(&reason, trigger_word(settings->triggers[i].kind),
				   settings->triggers[i].text);
	if (is_asked && glance.state == TARGET_ATTACHED)
		add_reason(&reason, "signal", "SIGUSR2");
	if (now_ns >= watched->next_every_ns) {
		watched->next_every_ns = next_every_ns(settings);
		if (glance.state == TARGET_ATTACHED && !reason.word)
			add_reason(&reason, SPOOL_EVERY, SPOOL_EVERY);
	}
	if (reason.word)
		keep(recorder, watched->target, glance.rss_bytes, &reason);
	if (glance.state == TARGET_ATTACHED)
		check_overhead(recorder, watched, &reading, now_ns);
	return glance.state == TARGET_ATTACHED;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* What is known of a trigger that is there still: none fires again for that it was read anew. */
static void carry_over(const struct watch_settings *before, const struct watch_settings *after,
		       struct watched *watched)
{
	struct trigger_state *states = calloc(after->trigger_count + 1, sizeof(*states));

	if (!states)
		return;
	for (size_t i = 0; i < after->trigger_count; i++)
		for (size_t j = 0; j < before->trigger_count; j++)
			if (!strcmp(after->triggers[i].text, before->triggers[j].text))
				states[i] = watched->states[j];
	free(watched->states);
	watched->states = states;
	if (before->every_ns != after->every_ns)
		watched->next_every_ns = next_every_ns(after);
}

static void adopt(struct recorder *recorder, struct watch_list *next)
{
	struct watch_list before = recorder->watches;

	for (size_t i = 0; i < recorder->count; i++) {
		static const struct watch_settings none;
		uint32_t number = target_watch(recorder->watched[i].target);

		carry_over(number < before.count ? &before.list[number] : &none,
			   number < next->count ? &next->list[number] : &none,
			   &recorder->watched[i]);
	}
	recorder->watches = *next;
	free_watches(&before);
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

static void tell(void *context, const char *text)
{
	dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s", text);
}

static void look_at_all(struct recorder *recorder, bool is_asked)
{
	meet_targets(recorder);
	for (size_t i = 0; i < recorder->count;) {
		if (look_at(recorder, &recorder->watched[i], is_asked))
			i++;
		else
			forget(recorder, &recorder->watched[i]);
	}
	commands_look_after(recorder->commands, tell, NULL);
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
		struct watched *watched = add(recorder, ended[i]); /* it may never have been met */

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
	return NULL;
}

int recorder_new(const struct recorder_options *options, struct recorder **ret,
		 struct dhat_error *err)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));
	int error;

	if (!recorder)
		return dhat_error_errno(err, ENOMEM, "cannot watch targets");
	recorder->options = *options;
	pthread_mutex_init(&recorder->lock, NULL);
	pthread_cond_init(&recorder->wake, NULL);
	error = commands_new(&recorder->commands);
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

void recorder_stop(struct recorder *recorder)
{
	if (!recorder || !recorder->has_thread)
		return;
	pthread_mutex_lock(&recorder->lock);
	recorder->is_ending = true;
	pthread_cond_signal(&recorder->wake);
	pthread_mutex_unlock(&recorder->lock);
	pthread_join(recorder->thread, NULL);
	recorder->has_thread = false;
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
	commands_free(recorder->commands);
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
