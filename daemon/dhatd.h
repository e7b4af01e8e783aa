#pragma once
/* dhatd: the daemon from its first thread to its last file, as main.c goes through it. For files of
 * this folder. */
#include <signal.h>
#include <stdatomic.h>

#include "daemon/http/pages.h"
#include "daemon/lookup/symbolizer.h"
#include "daemon/lookup/tables.h"
#include "daemon/push/pusher.h"
#include "daemon/serve/control.h"
#include "daemon/serve/requests.h"
#include "daemon/target/discover.h"
#include "daemon/target/targets.h"
#include "daemon/watch/recorder.h"
#include "keep.h"
#include "options.h"
#include "watches.h"

struct dhatd {
	struct dhatd_options options;
	struct keep_place output; /* path NULL: no --output */
	struct worker *worker;
	struct tables *tables;
	struct symbolizer *symbolizer;
	struct targets *targets;
	struct holds_book *book;
	struct control *control;
	int listening_fd; /* a service manager's socket; 0: there is none */
	struct pages *pages;
	struct http_server *http; /* NULL: not asked for */
	struct discover *discover;
	char *push_folder; /* of what waits to be pushed */
	struct pusher *pusher;
	struct recorder *recorder;
	struct watches *watches; /* NULL: there is no --config */
	struct requests_context requests;
	uint64_t next_sign_ns;			 /* of life, for a service manager */
	uint64_t next_progress_ns;		 /* the same of dhatd_goes_on() */
	pid_t program;				 /* started by `run`; else 0 */
	struct last_look *last_look;		 /* of it; NULL: none is wanted */
	enum dhat_exit judged;			 /* what became of the conditions of `run` */
	atomic_bool has_started, is_interrupted; /* at the start */
};

/* A target has ended: sent to ourselves, so that the main thread need wait for one thing only. */
#define SIGNAL_CHANGED SIGUSR1

/* Keep a profile of each target now. */
#define SIGNAL_KEEP SIGUSR2
/* For a service: read again what it was told in files. */
#define SIGNAL_RELOAD SIGHUP
static inline bool dhatd_reloads(const struct dhatd *dhatd)
{
	const struct dhatd_options *options = &dhatd->options;

	return options->command == DHATD_SERVE &&
	       (options->config_path || options->http.listen || options->watch.settings.push.url);
}
/* Any other of those that are held back: dhatd is to end. */
static inline bool dhatd_is_end(const struct dhatd *dhatd, int signal_number)
{
	return signal_number > 0 && signal_number != SIGNAL_CHANGED &&
	       signal_number != SIGNAL_KEEP &&
	       (signal_number != SIGNAL_RELOAD || !dhatd_reloads(dhatd));
}

/* With --output, or for `run`, dhatd ends with its last target; else it keeps the profiles for
 * dhatctl until it is told to end. */
bool dhatd_ends_with_targets(const struct dhatd *dhatd);

/* signs.c; the main thread's. A service manager that waits for signs of life is given four where it
 * needs one; none while the rings are not emptied. How long until the next; 0: nobody waits. */
uint64_t dhatd_give_signs(struct dhatd *dhatd);
/* The same in the middle of what takes long, which has got on: a start, a reload or an end may take
 * longer than a service manager waits for one. A SIGNAL_KEEP that came meanwhile is obeyed. Often;
 * struct dhatd * as its context. */
void dhatd_goes_on(void *dhatd);

/* start.c: the services, then the targets of the options. set: the signals that are held back; one
 * of them ends it (is_interrupted, and an error if targets are still missing). */
int dhatd_start(struct dhatd *dhatd, const sigset_t *set, struct dhat_error *err);
int dhatd_answer(struct dhatd *dhatd, struct dhat_error *err); /* opens the socket */
void dhatd_deinit(struct dhatd *dhatd);

/* finish.c: nothing is attached to from now on; profiles are written, before and after all is
 * detached from. */
int dhatd_finish(struct dhatd *dhatd, const sigset_t *set, struct dhat_error *err);
