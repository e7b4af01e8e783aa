#pragma once
/* targets: all targets of this daemon, and the threads that serve them. Thread-safe. */
#include "target.h"

struct targets;

/* worker and tables are borrowed. */
int targets_new(struct worker *worker, struct tables *tables, struct targets **ret,
		struct dhat_error *err);
void targets_free(struct targets *targets); /* detaches all */
/* From now on nothing is attached to any more (ECANCELED), and no file is described nor a table
 * built: who waits for one fails. May be called from any thread, while others attach. */
void targets_close(struct targets *targets);

/* Of several attaches to one pid at the same time one succeeds: DHAT_EXIT_ALREADY.
 * *ret (may be NULL): a reference for the caller. A target that has ended may be attached again;
 * its old profile is then replaced. */
int targets_attach(struct targets *targets, pid_t pid, const struct target_options *options,
		   struct target **ret, struct dhat_error *err);
/* The same for a program that `dhatd run` starts: see run.h. */
int targets_run(struct targets *targets, char *const argv[], const struct target_options *options,
		struct target **ret, struct dhat_error *err);
int targets_detach(struct targets *targets, pid_t pid, struct dhat_error *err);

/* pid 0: the only target, or the only one still attached; an error that lists the choice
 * otherwise. *ret: a reference for the caller. */
int targets_find(struct targets *targets, pid_t pid, struct target **ret, struct dhat_error *err);
/* Targets that have not ended yet, and those that are being attached to. */
size_t targets_attached_count(struct targets *targets);
/* Told (from a thread of its own) whenever a target has ended; at most one listener. */
void targets_on_end(struct targets *targets, void (*ended)(void *context), void *context);
/* References to all, in the order of attaching; the caller unrefs each and frees the array. */
int targets_list(struct targets *targets, struct target ***ret, size_t *ret_count);
