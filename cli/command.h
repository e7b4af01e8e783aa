#pragma once
/* command: what dhatctl's commands have in common. */
#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/profile/metric.h"
#include "proto/wire/attach_options.h"
#include "proto/wire/dhat.pb-c.h"

#define CLI_DEFAULT_SOCKET "/run/dhatd.sock"
#define CLI_SOCKET_VARIABLE "DHATD_SOCKET"

/* Options of every command: --socket, --json, --help. */
struct common {
	const char *socket_path; /* never NULL after command_parse() */
	bool as_json;
	bool is_done; /* help was printed */
};
extern const struct argp common_argp; /* input: struct common */

/* --pid N; input: uint32_t, 0 if it was not given. The number alone will do, too: a command asks
 * command_takes_pid_word() about words that are no options. */
extern const struct argp pid_argp;
bool command_takes_pid_word(uint32_t *pid, const char *word);

/* A profile goes to no terminal. */
int command_refuse_terminal(const char *path, struct dhat_error *err);

/* --trim; a rule may be a word of its own ("--trim tokio"), which argp does not know of optional
 * arguments: a command asks command_takes_trim_word() first about each word that is no option. */
struct trim_options {
	unsigned rules;
	bool may_take_word;
};
extern const struct argp trim_argp; /* input: struct trim_options */
bool command_takes_trim_word(struct trim_options *trim, const char *word);

/* --format NAME, --metric NAME. */
struct dhat_exporter;
struct format_options {
	const struct dhat_exporter *exporter; /* NULL: as the name of the file says */
	enum dhat_metric metric;
};
extern const struct argp format_argp; /* input: struct format_options */

struct command {
	const char *name, *summary;
	/* 0 or -errno with err filled; a wrong command line was complained about already and has
	 * DHAT_EXIT_USAGE and no message. argv[0] is "dhatctl NAME". */
	int (*run)(int argc, char **argv, struct dhat_error *err);
	const struct argp *argp; /* its options */
};

extern const struct command commands[]; /* the last one has no name */

extern const struct argp cmd_stats_argp, cmd_explain_argp, cmd_suspects_argp, cmd_top_argp,
	cmd_diff_argp, cmd_assert_argp, cmd_verify_argp, cmd_ps_argp, cmd_status_argp,
	cmd_holds_argp, cmd_rss_argp, cmd_pins_argp, cmd_snapshot_argp, cmd_export_argp,
	cmd_plan_argp, cmd_sample_argp, cmd_mark_argp, cmd_attach_argp, cmd_detach_argp,
	cmd_repair_argp;

int cmd_status(int argc, char **argv, struct dhat_error *err);
int cmd_stats(int argc, char **argv, struct dhat_error *err);
int cmd_explain(int argc, char **argv, struct dhat_error *err);
int cmd_suspects(int argc, char **argv, struct dhat_error *err);
int cmd_top(int argc, char **argv, struct dhat_error *err);
int cmd_diff(int argc, char **argv, struct dhat_error *err);
int cmd_assert(int argc, char **argv, struct dhat_error *err);
int cmd_verify(int argc, char **argv, struct dhat_error *err);
int cmd_snapshot(int argc, char **argv, struct dhat_error *err);
int cmd_sample(int argc, char **argv, struct dhat_error *err);
int cmd_mark(int argc, char **argv, struct dhat_error *err);
int cmd_holds(int argc, char **argv, struct dhat_error *err);
int cmd_rss(int argc, char **argv, struct dhat_error *err);
int cmd_export(int argc, char **argv, struct dhat_error *err);
int cmd_attach(int argc, char **argv, struct dhat_error *err);
int cmd_detach(int argc, char **argv, struct dhat_error *err);
int cmd_repair(int argc, char **argv, struct dhat_error *err);
int cmd_pins(int argc, char **argv, struct dhat_error *err);
int cmd_ps(int argc, char **argv, struct dhat_error *err);
int cmd_plan(int argc, char **argv, struct dhat_error *err);

/* Sends a request that is answered by a sentence, and prints that. */
int command_call_and_print(const struct common *common, Dhat__Request *request,
			   struct dhat_error *err);

/* How to attach, as attach and plan ask for it; *to borrows from *from. */
void command_fill_attach_options(const struct dhat_attach_options *from, Dhat__AttachOptions *to);

/* Parse a command's options. common: the struct that common_argp fills in; when is_done is set
 * afterwards, the command has nothing left to do. */
int command_parse(const struct argp *argp, int argc, char **argv, void *input,
		  struct common *common, struct dhat_error *err);
/* For ARGP_KEY_INIT: the inputs of the children, in their order. */
void command_give_inputs(struct argp_state *state, void *const *inputs);
