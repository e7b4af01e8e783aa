#include "repair.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/kernel/uprobe.h"
#include "daemon/proc/file.h"
#include "daemon/proc/mapfile.h"
#include "daemon/proc/status.h"
#include "proto/base/cleanup.h"
#include "ptracer.h"

/* Each place waits for the kernel's RCU a tenth of a second: they wait together. */
#define THREADS 16

/* ---- may it be done? ------------------------------------------------------------------------- */

static bool handles_sigtrap(pid_t pid)
{
	struct proc_status status;

	if (proc_status_read(pid, &status))
		return true;
	return status.caught_signals >> (SIGTRAP - 1) & 1;
}

/* "" if it may. */
static void look_for_obstacle(pid_t pid, const struct repair_options *options, char *ret,
			      size_t size)
{
	struct ptracer tracer;

	ret[0] = '\0';
	if (ptracer_find(pid, &tracer) == 0 && tracer.pid && tracer.sets_breakpoints)
		snprintf(ret, size,
			 "process %d (%s) traces it, and its breakpoints cannot be told from "
			 "those left behind: dhatctl repair --pid %d when it has left",
			 (int)tracer.pid, tracer.name, (int)pid);
	else if (!options->is_asked && handles_sigtrap(pid))
		snprintf(ret, size,
			 "the process handles SIGTRAP, so they may be its own: dhatctl repair "
			 "--pid %d removes them if they serve no tracer",
			 (int)pid);
}

/* ---- the places ------------------------------------------------------------------------------ */

static bool is_same_place(const struct breakpoint *a, const struct breakpoint *b)
{
	return a->file_offset == b->file_offset && a->inode == b->inode &&
	       a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

struct settling {
	pid_t pid;
	const struct breakpoints *found;
	atomic_size_t next;
	_Atomic int error; /* of one that failed */
};

static int settle(pid_t pid, const struct breakpoint *b)
{
	_cleanup_close_ int fd = mapfile_open(pid, b->map_start, b->map_end, b->path, b->inode);
	char path[64];
	pid_t tid;
	int error;

	if (fd < 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	error = proc_living_thread(pid, &tid);
	return error ? error : uprobe_settle(tid, path, b->file_offset);
}

static void *settle_some(void *context)
{
	struct settling *settling = context;
	const struct breakpoints *found = settling->found;

	for (size_t i = settling->next++; i < found->count; i = settling->next++) {
		bool is_done = false; /* a file may be mapped twice */
		int error;

		for (size_t j = 0; j < i && !is_done; j++)
			is_done = is_same_place(&found->list[j], &found->list[i]);
		error = is_done ? 0 : settle(settling->pid, &found->list[i]);
		if (error)
			settling->error = error;
	}
	return NULL;
}

static int settle_all(pid_t pid, const struct breakpoints *found)
{
	struct settling settling = { .pid = pid, .found = found };
	pthread_t threads[THREADS];
	size_t count = 0;

	while (count < THREADS && count + 1 < found->count &&
	       pthread_create(&threads[count], NULL, settle_some, &settling) == 0)
		count++;
	settle_some(&settling);
	while (count > 0)
		pthread_join(threads[--count], NULL);
	return settling.error;
}

static bool is_there(const struct breakpoints *found, const struct breakpoint *breakpoint)
{
	for (size_t i = 0; i < found->count; i++)
		if (found->list[i].addr == breakpoint->addr)
			return true;
	return false;
}

static void judge(struct repair *repair, const struct breakpoints *after, int error)
{
	for (size_t i = 0; i < repair->breakpoints.count; i++) {
		enum repair_outcome outcome = REPAIR_REMOVED;

		if (repair->why_kept[0])
			outcome = REPAIR_KEPT;
		else if (is_there(after, &repair->breakpoints.list[i]))
			outcome = error ? REPAIR_KEPT : REPAIR_SERVES;
		repair->outcomes[i] = outcome;
		repair->counts[outcome]++;
	}
	if (error && repair->counts[REPAIR_KEPT])
		snprintf(repair->why_kept, sizeof(repair->why_kept),
			 "no probe can be placed there: %s", strerror(-error));
}

DEFINE_CLEANUP_PTR(struct repair *, repair_deinit)

int repair_process(pid_t pid, const struct repair_options *options, struct repair *ret,
		   struct dhat_error *err)
{
	struct repair repair = { 0 };
	_cleanup_(repair_deinit_ptr) struct repair *owned = &repair;
	_cleanup_(breakpoints_deinit) struct breakpoints after = { 0 };
	int error = breakpoints_find(pid, &repair.breakpoints), failed = 0;

	if (error)
		return dhat_error_errno(err, -error,
					"cannot compare the code of process %d with "
					"its files",
					(int)pid);
	repair.outcomes = calloc(repair.breakpoints.count + 1, sizeof(*repair.outcomes));
	if (!repair.outcomes)
		return -ENOMEM;
	if (repair.breakpoints.count > 0) {
		look_for_obstacle(pid, options, repair.why_kept, sizeof(repair.why_kept));
		if (!repair.why_kept[0]) {
			failed = settle_all(pid, &repair.breakpoints);
			error = breakpoints_find(pid, &after);
		}
		if (error)
			return dhat_error_errno(err, -error, "process %d cannot be read any more",
						(int)pid);
		judge(&repair, &after, failed);
	}
	*ret = repair;
	owned = NULL;
	return 0;
}

void repair_deinit(struct repair *repair)
{
	breakpoints_deinit(&repair->breakpoints);
	free(repair->outcomes);
	*repair = (struct repair){ 0 };
}

/* ---- words ----------------------------------------------------------------------------------- */

struct wanted {
	const struct repair *repair;
	enum repair_outcome outcome;
};

static bool is_wanted(const void *context, size_t i)
{
	const struct wanted *wanted = context;

	return wanted->repair->outcomes[i] == wanted->outcome;
}

void repair_describe(const struct repair *repair, enum repair_outcome outcome, char *ret,
		     size_t size)
{
	const struct wanted wanted = { repair, outcome };
	size_t count = repair->counts[outcome];
	const char *s = count == 1 ? "" : "s";
	char places[160];

	ret[0] = '\0';
	if (count == 0)
		return;
	breakpoints_places(&repair->breakpoints, is_wanted, &wanted, places, sizeof(places));
	if (outcome == REPAIR_REMOVED)
		snprintf(ret, size,
			 "%zu breakpoint%s that a tracer had left in the target's code removed "
			 "(%s)",
			 count, s, places);
	else if (outcome == REPAIR_SERVES)
		snprintf(ret, size,
			 "%zu breakpoint%s of another tracer in the target's code (%s): each call "
			 "there costs 0.5 to 10 µs more",
			 count, s, places);
	else
		snprintf(ret, size,
			 "%zu breakpoint%s in the target's code that may serve nobody (%s): each "
			 "call there costs 0.5 to 10 µs more; left alone, because %s",
			 count, s, places, repair->why_kept);
}
