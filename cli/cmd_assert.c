/* dhatctl assert: does a profile meet a build's conditions? */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "choice.h"
#include "client.h"
#include "command.h"
#include "input.h"
#include "proto/base/cleanup.h"
#include "proto/export/gate.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

struct assert_options {
	struct common common;
	uint32_t pid;
	const char *path; /* NULL: a process */
	struct dhat_gate gate;
};

/* A condition compares; what does not, and is no file either, is taken for one that lacks that. */
static bool is_file(const char *word)
{
	size_t length = strlen(word);

	if (strpbrk(word, "<>=!") || !strncmp(word, "stack(", 6))
		return false;
	return !strcmp(word, "-") || strchr(word, '/') ||
	       (length > 5 && !strcmp(word + length - 5, ".dhat")) || access(word, F_OK) == 0;
}

static error_t take_word(struct assert_options *wanted, char *arg, struct argp_state *state)
{
	if (command_takes_pid_word(&wanted->pid, arg))
		return 0;
	if (!is_file(arg))
		return -dhat_gate_add(&wanted->gate, arg, state->name);
	if (wanted->path) {
		argp_error(state, "%s: one profile at a time", arg);
		return EINVAL;
	}
	wanted->path = arg;
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct assert_options *wanted = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state,
				    (void *[]){ &wanted->pid, &wanted->gate, &wanted->common });
		return 0;
	case ARGP_KEY_ARG:
		return take_word(wanted, arg, state);
	case ARGP_KEY_END:
		if (!wanted->path || !wanted->pid)
			return 0;
		argp_error(state, "one process, or a file?");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	{ .argp = &pid_argp }, { .argp = &dhat_gate_argp }, { .argp = &common_argp }, { 0 }
};
const struct argp cmd_assert_argp = {
	.parser = parse_option,
	.args_doc = "CONDITION... [PID | FILE.dhat]",
	.doc = "Judge a profile by conditions, for a build: 'live.bytes == 0', 'peak.bytes < "
	       "64MiB', 'total.blocks <= baseline * 1.05', 'stack(/parse_/).growth == 0'. The exit "
	       "status is 15 if one does not hold, and 13 if the numbers are not exact.",
	.children = children,
};

static int fetch(const struct assert_options *wanted, struct dhat_snapshot **ret,
		 struct dhat_error *err)
{
	Dhat__SnapshotRequest asked = DHAT__SNAPSHOT_REQUEST__INIT;
	int r = 0;

	if (wanted->path)
		return input_read(wanted->path, ret, err);
	if (!wanted->pid)
		r = choice_check(wanted->common.socket_path, "assert", err);
	for (size_t i = 0; i < wanted->gate.count; i++) {
		asked.with_holds |= dhat_assertion_needs_scan(&wanted->gate.assertions[i]);
		asked.with_pages |= dhat_assertion_needs_pages(&wanted->gate.assertions[i]);
	}
	asked.pid = wanted->pid;
	return r < 0 ? r : client_snapshot(wanted->common.socket_path, &asked, ret, err);
}

static int run(struct assert_options *wanted, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	enum dhat_exit code = DHAT_EXIT_OK;
	int r = dhat_gate_prepare(&wanted->gate, err);

	if (r == 0)
		r = fetch(wanted, &snapshot, err);
	if (r == 0)
		r = dhat_gate_judge(&wanted->gate, take_ptr(snapshot), err);
	if (r == 0)
		r = dhat_gate_finish(&wanted->gate, stdout, wanted->common.as_json, "dhatctl",
				     &code, err);
	if (r == 0)
		err->code = code; /* it has been said which, and why */
	return r;
}

int cmd_assert(int argc, char **argv, struct dhat_error *err)
{
	struct assert_options wanted = { 0 };
	int r = command_parse(&cmd_assert_argp, argc, argv, &wanted, &wanted.common, err);

	if (r == 0 && !wanted.common.is_done)
		r = run(&wanted, err);
	dhat_gate_deinit(&wanted.gate);
	return r;
}
