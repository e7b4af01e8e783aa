#pragma once
/* options: dhatd's command line. Pure, but that help and complaints are printed. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "daemon/http/options.h"
#include "daemon/target/match.h"
#include "daemon/target/target.h"
#include "daemon/watch/watch_options.h"
#include "proto/export/gate.h"
#include "proto/wire/attach_options.h"

#define DHATD_DEFAULT_SOCKET "/run/dhatd.sock"
#define DHATD_SOCKET_VARIABLE "DHATD_SOCKET"

enum dhatd_command {
	DHATD_DONE = 0, /* help or version was asked for and printed: nothing is left to do */
	DHATD_ATTACH,	/* to running processes */
	DHATD_RUN,	/* a program from its first instruction on */
	DHATD_SERVE,	/* no target yet: `dhatctl attach` brings them */
	DHATD_PLAN,	/* no profile: what an attach would find */
	DHATD_PS,	/* no profile: which processes grow */
	DHATD_REPAIR,	/* no profile: let go of breakpoints that a tracer left in a process */
};

struct dhatd_options {
	enum dhatd_command command;
	pid_t *pids; /* attach, plan, repair; each once, in the order given */
	size_t pid_count;
	struct match_options match; /* attach, plan; expressions that compile */
	uint32_t max_targets;	    /* attach; 0: the default */
	char **program;		 /* run: what follows the options, NULL-terminated; part of argv */
	const char *config_path; /* serve; NULL: none */
	const char *socket_path; /* never NULL: --socket, else $DHATD_SOCKET, else the default */
	const char *output_path; /* NULL: none */
	bool as_json;		 /* plan, ps, repair */
	double ps_seconds;	 /* ps: how long it watches */
	size_t ps_top;		 /* ps: of how many it tells */
	const char *debuginfod_urls;	 /* NULL: no debuginfod server is asked */
	uint32_t debuginfod_seconds;	 /* for one file; 0: the default */
	const char *group;		 /* whose members may use the socket, too; NULL: none */
	struct http_server_options http; /* as far as options tell; no listen: not asked for */
	struct dhat_gate gate;		 /* run: conditions on its profile */
	struct target_options target;	 /* borrows from attach */
	struct dhat_attach_options attach;
	struct watch_options watch;

	/* of dhatd_options_parse_key() */
	char **words;	  /* what it was given, owned: options point into it */
	FILE *complaints; /* private */
};

/* Strings point into argv, the environment or static memory. On a wrong command line: says why and
 * what to do on stderr, returns -EINVAL, leaves *ret empty; the exit code is DHAT_EXIT_USAGE. Freed
 * by dhatd_options_deinit() in any case. */
int dhatd_options_parse(int argc, char **argv, struct dhatd_options *ret);
void dhatd_options_deinit(struct dhatd_options *options);

/* One option of `dhatd attach` as files have it: "KEY = VALUE", flags with yes or no. Added to
 * *options, zeroed before the first; after the last dhatd_options_settle() fills in what follows
 * from them. place: "FILE:12", for complaints. */
int dhatd_options_parse_key(const char *place, const char *key, const char *value,
			    struct dhatd_options *options, struct dhat_error *err);
void dhatd_options_settle(struct dhatd_options *options);
