#pragma once
/* targets: all targets of this daemon, and the threads that serve them. Thread-safe. */
#include "target.h"

struct targets;

/* worker and tables are borrowed. */
int targets_new(struct worker *worker, struct tables *tables, struct targets **ret,
		struct dhat_error *err);
void targets_free(struct targets *targets); /* detaches all */
/* Before any program is started: as target_hooks.begins. */
void targets_tell_begin(struct targets *targets, void (*begins)(void *context, pid_t pid),
			void *context);
/* From now on nothing is attached to any more (ECANCELED), and no file is described nor a table
 * built: who waits for one fails. May be called from any thread, while others attach. */
void targets_close(struct targets *targets);
/* Waits until what was being attached to when it was closed is a target, or is none. */
void targets_settle(struct targets *targets);
/* Waits until of each whose process has ended by now that is known, and told: some milliseconds;
 * some seconds at most, if probes take that long to go. */
void targets_settle_ended(struct targets *targets);
/* From true to false targets_find() says that targets are still to come, where it would say that
 * there is none. */
void targets_set_starting(struct targets *targets, bool is_starting);

/* Of a process that executes one program after the other, the profiles of so many are kept beside
 * that of the last, if not all of them are (targets_keep_ended()). */
#define TARGETS_MAX_REPLACED 16

/* Of several attaches to one pid at the same time one succeeds: DHAT_EXIT_ALREADY.
 * *ret (may be NULL): a reference for the caller. A target that has ended may be attached again;
 * its old profile is then replaced, if not all stay. */
int targets_attach(struct targets *targets, pid_t pid, const struct target_options *options,
		   struct target **ret, struct dhat_error *err);
/* The same for a program that `dhatd run` starts: see run.h. */
int targets_run(struct targets *targets, char *const argv[], const struct target_options *options,
		struct target **ret, struct dhat_error *err);
int targets_detach(struct targets *targets, pid_t pid, struct dhat_error *err);

/* pid 0: the only target, or the only one still attached; an error that lists the choice
 * otherwise. DHAT_EXIT_NOT_YET: it is being attached to. *ret: a reference for the caller. */
int targets_find(struct targets *targets, pid_t pid, struct target **ret, struct dhat_error *err);
/* The same, asked otherwise. A program's processes come and go: of several the one that is attached
 * to longest is meant, and none that has ended. */
struct targets_question {
	pid_t pid;	     /* 0: not told */
	const char *program; /* target_name(); NULL: not told */
	const char *how;     /* for the error: how one is chosen ("with --pid") */
};
int targets_ask(struct targets *targets, const struct targets_question *question,
		struct target **ret, struct dhat_error *err);
/* Targets that have not ended yet, and those that are being attached to. */
size_t targets_attached_count(struct targets *targets);
/* Those of a watch (target_watch()) that have not ended, and those that are being attached to for
 * it.
 */
size_t targets_count_of_watch(struct targets *targets, uint32_t watch);
/* Was it detached from by targets_detach(), as of a person's will, or since it cost too much? Known
 * as long as the process lives, whatever becomes of its profile; until it is attached to again. Not
 * of what was TARGET_NO_WATCH then. */
bool targets_was_let_go(struct targets *targets, pid_t pid);
/* What a person should learn at once. Told by whichever thread did it, with no lock held; a target
 * is lent for the call. Any may be NULL. */
struct targets_listener {
	void (*attached)(void *context, struct target *target);
	/* its process has ended, or has executed another program */
	void (*ended)(void *context, struct target *target);
	void (*detached)(void *context, struct target *target); /* by targets_detach() */
	/* targets_attached_count() may have become less, but by a detach */
	void (*changed)(void *context);
	void *context;
};
/* Of those that have ended at most so many stay; the oldest go, and that of a pid that is attached
 * to again. 0: all stay. Before the first target. */
void targets_keep_ended(struct targets *targets, size_t count);
/* At most one; before the first target. */
void targets_listen(struct targets *targets, const struct targets_listener *listener);
/* The processes that are just being attached to, for the caller to free; whether
 * targets_set_starting() said that more will come. */
int targets_attaching(struct targets *targets, pid_t **ret, size_t *ret_count,
		      bool *ret_is_starting);
/* References to all, in the order of attaching; the caller unrefs each and frees the array. */
int targets_list(struct targets *targets, struct target ***ret, size_t *ret_count);
/* Of whoever attaches to what is found: lent. */
struct searches *targets_searches(struct targets *targets);
struct search_state;
/* All, with how many of each are attached to; the caller frees. -ENOMEM. */
int targets_list_searches(struct targets *targets, struct search_state **ret, size_t *ret_count);
/* A sign of life: does the thread that empties all rings go on? Not before it has made a turn since
 * the last time that this was asked. */
bool targets_are_looked_after(struct targets *targets);
/* The same, asked at any time by any thread: does it make a turn within so long? Waits for that. */
bool targets_take_turns(struct targets *targets, uint64_t patience_ns);
