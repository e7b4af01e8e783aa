#pragma once
/* subject: the one profile that a command is about: a process of dhatd's, or a file. */
#include "command.h"
#include "programs.h"

struct subject {      /* of words and options; pid 0 and path NULL: the only process */
	uint32_t pid; /* pid_argp's */
	const char *path;
	bool with_pages; /* of a process: what is in memory, too */
	bool is_all;	 /* subject_argp's: of all processes instead */
};
extern const struct argp subject_argp; /* --all; input: struct subject */

/* A command's own parser leaves its words and its end to this: at most one of them may be given. */
error_t subject_parse(struct subject *subject, int key, char *arg, struct argp_state *state);
/* command: "suspects", for hints. The caller frees. */
int subject_fetch(const struct subject *subject, const struct common *common, const char *command,
		  struct dhat_snapshot **ret, struct dhat_error *err);
/* The same, or with --all one for each program. The caller deinits, whether it succeeds or not. */
int subject_fetch_all(const struct subject *subject, const struct common *common,
		      const char *command, struct programs *ret, struct dhat_error *err);
