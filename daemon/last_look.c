#include "last_look.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/holds/holds.h"
#include "daemon/kernel/last_stop.h"
#include "daemon/proc/file.h"
#include "daemon/proc/mapfile.h"
#include "daemon/proc/procmaps.h"
#include "daemon/proc/status.h"
#include "daemon/worker/worker.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/say.h"
#include "proto/base/text.h"
#include "proto/base/units.h"

#define TURN_NS 5000000	       /* it is not let wait longer than that before it is looked at */
#define STOPPED_NS 1000000000u /* each of its threads has to come to a stop */
#define LISTED_NS 5000000000u

struct last_look {
	struct dhatd *dhatd;
	pthread_t thread;
	atomic_bool is_ending;
	bool has_thread;	/* waited for yet */
	pthread_mutex_t lock;	/* for what follows */
	pid_t program;		/* 0: it has not begun */
	uint64_t start_ticks;	/* so that no other is sent on */
	struct last_stop *stop; /* NULL: it is not known where it ends */
};

DEFINE_CLEANUP_PTR(struct survey *, survey_free)
DEFINE_CLEANUP_PTR(struct target *, target_unref)
DEFINE_CLEANUP_PTR(struct holds *, holds_unref)

/* ---- where it ends -------------------------------------------------------------------------- */

static bool is_wanted(const struct dhatd *dhatd)
{
	const struct dhat_gate *gate = &dhatd->options.gate;
	bool is_wanted = false;

	for (size_t i = 0; i < gate->count; i++)
		is_wanted |= dhat_assertion_needs_scan(&gate->assertions[i]);
	return is_wanted && dhatd->options.command == DHATD_RUN;
}

/* Whoever has a C library of its own, linked in, is the program itself. */
static bool may_have_end(const struct procmaps *maps, const struct procmaps_entry *entry)
{
	const char *name = dhat_text_base_name(entry->path);

	return entry->inode && entry->is_executable && entry->path[0] == '/' &&
	       (!strncmp(name, "libc.", 5) || !strncmp(name, "ld-musl", 7) ||
		procmaps_is_same_file(entry, &maps->entries[0]));
}

/* The worker knows how to find a function that a person names: this is one. All ends of a C library
 * lead through _Exit(): glibc's _exit() is the same, and musl's calls it. */
static int find_end(struct worker *worker, const char *path, int fd, uint64_t *ret_offset)
{
	_cleanup_(survey_free_ptr) struct survey *survey = NULL;
	_cleanup_free_ char *custom = NULL;
	char *customs[2] = { NULL };
	const struct survey_question question = { .path = path, .customs = customs };

	if (asprintf(&custom, "free:%s:_Exit(ptr=arg1)", path) < 0)
		return -ENOMEM;
	customs[0] = custom;
	if (worker_survey(worker, fd, &question, &survey, NULL) || !survey->customs.count ||
	    survey->customs.list[0].is_refused)
		return -ENOENT;
	*ret_offset = survey->customs.list[0].function_offset;
	return 0;
}

static int place_in(struct last_look *look, const struct procmaps_entry *entry,
		    struct dhat_error *err)
{
	_cleanup_close_ int fd =
		mapfile_open(look->program, entry->start, entry->end, entry->path, entry->inode);
	char path[64];
	uint64_t offset;

	if (fd < 0 || find_end(look->dhatd->worker, entry->path, fd, &offset))
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return last_stop_new(look->program, path, offset, &look->stop, err);
}

static int place(struct last_look *look, struct dhat_error *err)
{
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	int r = procmaps_read(look->program, &maps);

	if (r == 0)
		r = -ENOENT;
	for (size_t i = 0; i < maps.count && r == -ENOENT; i++)
		if (may_have_end(&maps, &maps.entries[i]))
			r = place_in(look, &maps.entries[i], err);
	if (r == -ENOENT)
		return dhat_error_set(err, ENOENT, DHAT_EXIT_FAILED,
				      "it has no _Exit() of a C library");
	return r;
}

/* ---- the look ------------------------------------------------------------------------------- */

static bool is_in_state(pid_t thread, char state)
{
	struct proc_status status;

	return proc_status_read(thread, &status) == 0 && status.state == state;
}

/* One thread stops after the other. Once one has, those that wait in the kernel stop before they
 * leave it; one that runs may go on for a moment. */
static bool stands_still(pid_t pid)
{
	_cleanup_free_ pid_t *threads = NULL;
	size_t count = 0;
	bool does_run = false;

	if (!is_in_state(pid, 'T') || proc_threads(pid, &threads, &count))
		return false;
	for (size_t i = 0; i < count; i++)
		does_run |= is_in_state(threads[i], 'R');
	return !does_run;
}

static bool wait_until_stopped(const struct last_look *look)
{
	const struct timespec piece = { .tv_nsec = 200000 };
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + STOPPED_NS;

	while (!stands_still(look->program)) {
		if (clock_now_ns(CLOCK_MONOTONIC) > end_ns)
			return false;
		nanosleep(&piece, NULL);
	}
	return true;
}

/* One that ends at once may do so before it is in the list. */
static int find_target(struct last_look *look, struct target **ret, struct dhat_error *err)
{
	const struct timespec turn = { .tv_nsec = TURN_NS };
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + LISTED_NS;
	int r;

	do {
		*err = (struct dhat_error){ 0 };
		r = targets_find(look->dhatd->targets, look->program, ret, err);
		if (r == 0 || err->code != DHAT_EXIT_NOT_YET)
			return r;
		nanosleep(&turn, NULL);
	} while (clock_now_ns(CLOCK_MONOTONIC) < end_ns && !atomic_load(&look->is_ending));
	return r;
}

static int look_at(struct last_look *look, uint64_t *ret_bytes, struct dhat_error *err)
{
	struct dhatd *dhatd = look->dhatd;
	_cleanup_(target_unref_ptr) struct target *target = NULL;
	_cleanup_(holds_unref_ptr) struct holds *holds = NULL;
	struct holds_asking asking = {
		.worker = dhatd->worker,
		.symbolizer = dhatd->symbolizer,
		.book = dhatd->book,
		.stop = &look->is_ending,
		.is_still = true,
	};
	int r = find_target(look, &target, err);

	if (r == 0 && !wait_until_stopped(look))
		r = dhat_error_set(err, ETIMEDOUT, DHAT_EXIT_FAILED, "it did not come to a stop");
	asking.target = target;
	if (r == 0)
		r = holds_find(&asking, &holds, err);
	if (r == 0)
		*ret_bytes = holds->read_bytes;
	return r;
}

static void send_on(const struct last_look *look)
{
	if (proc_start_ticks(look->program) == look->start_ticks)
		kill(look->program, SIGCONT);
}

static void look_last(struct last_look *look)
{
	uint64_t begin_ns = clock_now_ns(CLOCK_MONOTONIC), bytes = 0;
	struct dhat_error err = { 0 };
	int r = look_at(look, &bytes, &err);
	char size[DHAT_UNIT_CHARS];

	send_on(look);
	if (r)
		dhat_say("dhatd", "process %d was not looked at as it ended: %s",
			 (int)look->program, err.message[0] ? err.message : strerror(-r));
	else
		dhat_say("dhatd",
			 "looked for what is lost as process %d ended: it stood still for %.2f s, "
			 "in "
			 "which %s were read",
			 (int)look->program,
			 (double)(clock_now_ns(CLOCK_MONOTONIC) - begin_ns) / 1e9,
			 dhat_format_size(bytes, size));
}

static bool has_come(struct last_look *look)
{
	bool has_come;

	pthread_mutex_lock(&look->lock);
	has_come = look->stop && last_stop_has_come(look->stop);
	pthread_mutex_unlock(&look->lock);
	return has_come;
}

static void *wait_for_end(void *look_)
{
	const struct timespec turn = { .tv_nsec = TURN_NS };
	struct last_look *look = look_;

	while (!has_come(look) && !atomic_load(&look->is_ending))
		nanosleep(&turn, NULL);
	if (has_come(look))
		look_last(look);
	return NULL;
}

/* What a wrapper executes has a C library of its own, perhaps. */
static void begin_program(void *look_, pid_t pid)
{
	struct last_look *look = look_;
	struct dhat_error why = { 0 };
	int r;

	pthread_mutex_lock(&look->lock);
	if (atomic_load(&look->is_ending) ||
	    (look->program && look->program != pid)) { /* a child of it */
		pthread_mutex_unlock(&look->lock);
		return;
	}
	look->program = pid;
	look->start_ticks = proc_start_ticks(pid);
	last_stop_free(look->stop);
	look->stop = NULL;
	r = place(look, &why);
	pthread_mutex_unlock(&look->lock);
	if (r)
		dhat_say("dhatd", "process %d will not be looked at as it ends: %s", (int)pid,
			 why.message[0] ? why.message : strerror(-r));
}

int last_look_begin(struct dhatd *dhatd, struct last_look **ret, struct dhat_error *err)
{
	_cleanup_free_ struct last_look *look = NULL;
	int r;

	*ret = NULL;
	if (!is_wanted(dhatd))
		return 0;
	look = calloc(1, sizeof(*look));
	if (!look)
		return -ENOMEM;
	look->dhatd = dhatd;
	pthread_mutex_init(&look->lock, NULL);
	r = pthread_create(&look->thread, NULL, wait_for_end, look);
	if (r)
		return dhat_error_errno(err, r, "cannot start a thread");
	look->has_thread = true;
	targets_tell_begin(dhatd->targets, begin_program, look);
	*ret = take_ptr(look);
	return 0;
}

void last_look_end(struct last_look *look)
{
	if (!look || !look->has_thread)
		return;
	atomic_store(&look->is_ending, true);
	pthread_join(look->thread, NULL);
	look->has_thread = false;
	pthread_mutex_lock(&look->lock);
	/* it may have stopped when nobody waited for that any more */
	if (look->stop && last_stop_end(look->stop))
		send_on(look);
	last_stop_free(look->stop);
	look->stop = NULL;
	pthread_mutex_unlock(&look->lock);
}

void last_look_free(struct last_look *look)
{
	if (!look)
		return;
	last_look_end(look);
	pthread_mutex_destroy(&look->lock);
	free(look);
}
