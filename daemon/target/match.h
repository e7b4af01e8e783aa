#pragma once
/* match: which processes are meant by a name, a command line, a control group or a container.
 *
 * All that is asked for has to match. Never meant are this dhatd, its own (kin.h), and what has no
 * program (kernel threads, zombies).
 */
#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "proto/base/error.h"

/* Expressions are POSIX extended ones that match somewhere in the text. NULL: any. */
struct match_options {
	/* the name of its program: of its executable file, or the one in /proc/PID/comm, which is
	 * a script's and can be set, and has 15 characters at most */
	const char *name_regex;
	const char *command_regex; /* its arguments, separated by blanks */
	const char *cgroup_path;   /* a folder with a cgroup.procs (v2 or v1), and those below it */
	const char *container;	   /* a word as container.h takes it */
	/* a unit of systemd, which names a control group after it; need not be there yet. Without a
	 * suffix a service. */
	const char *unit;
};
static inline bool match_is_asked(const struct match_options *options)
{
	return options->name_regex || options->command_regex || options->cgroup_path ||
	       options->container || options->unit;
}
/* "--name 'x' --cgroup 'y'", as it was asked for; cut to size. */
void match_describe(const struct match_options *options, char *ret, size_t size);

struct match {
	struct match_options options; /* borrowed */
	regex_t name, command;
	bool has_name, has_command;
	char *cgroup; /* as /proc/PID/cgroup names it, below the hierarchy's mount */
};

/* DHAT_EXIT_USAGE: no expression, no control group, or no word for a container. The caller deinits
 * in any case. */
int match_init(const struct match_options *options, struct match *ret, struct dhat_error *err);
void match_deinit(struct match *match);

enum match_answer {
	MATCH_NO,
	MATCH_YES,
	MATCH_OWN_ANCESTOR, /* it would match; see kin.h */
	MATCH_OWN_KIND,
};
enum match_answer match_process(const struct match *match, pid_t pid);

struct matched {
	pid_t pid;
	enum match_answer answer; /* never MATCH_NO */
};
/* Of all processes those that match, by their numbers; the caller frees. */
int match_list(const struct match *match, struct matched **ret, size_t *ret_count);
