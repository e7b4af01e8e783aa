#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "proto/base/units.h"
#include "proto/export/export.h"
#include "proto/profile/trim.h"

const struct command commands[] = {
	{ "stats", "what is live, and from where: totals, peak, the stacks with the most",
	  cmd_stats, &cmd_stats_argp },
	{ "explain", "the verdict, the suspects and what to type next, in a few lines", cmd_explain,
	  &cmd_explain_argp },
	{ "suspects", "what leaks, how fast, since when, and why that is said", cmd_suspects,
	  &cmd_suspects_argp },
	{ "top", "what grows, looked at each second: a screen, or a list into a pipe", cmd_top,
	  &cmd_top_argp },
	{ "diff", "what has grown between two profiles, and what has shrunk", cmd_diff,
	  &cmd_diff_argp },
	{ "assert", "does a profile meet a build's conditions?", cmd_assert, &cmd_assert_argp },
	{ "verify", "is what an earlier profile kept gone?", cmd_verify, &cmd_verify_argp },
	{ "ps", "which processes grow, and how fast; nothing is attached to", cmd_ps,
	  &cmd_ps_argp },
	{ "status", "targets, probes, rates, counters, verdict", cmd_status, &cmd_status_argp },
	{ "holds", "who holds the live blocks, and which are lost", cmd_holds, &cmd_holds_argp },
	{ "rss", "what the resident memory of a process consists of", cmd_rss, &cmd_rss_argp },
	{ "pins",
	  "why it stays resident: a leak, a cache or fragmentation, and which blocks keep it",
	  cmd_pins, &cmd_pins_argp },
	{ "snapshot", "fetch a profile into a file, for DHAT's viewer or for later", cmd_snapshot,
	  &cmd_snapshot_argp },
	{ "export", "turn a .dhat file into DHAT JSON, pprof, a flame graph's input", cmd_export,
	  &cmd_export_argp },
	{ "plan", "what an attach would find and cost, without attaching", cmd_plan,
	  &cmd_plan_argp },
	{ "mark", "from now on, keep what is allocated since this moment and lives", cmd_mark,
	  &cmd_mark_argp },
	{ "sample", "from now on, record a sample: what watching costs falls", cmd_sample,
	  &cmd_sample_argp },
	{ "attach", "have dhatd watch another process", cmd_attach, &cmd_attach_argp },
	{ "detach", "have dhatd leave a process alone; its profile stays", cmd_detach,
	  &cmd_detach_argp },
	{ "repair", "remove breakpoints that a killed tracer left in a process", cmd_repair,
	  &cmd_repair_argp },
	{ 0 },
};

/* Keys that no command uses for its own. */
enum { KEY_TRIM = 0x300, KEY_USAGE, KEY_FORMAT, KEY_METRIC, KEY_WAIT };

static const struct argp_option common_options[] = {
	{ "socket", 's', "PATH", 0,
	  "Where dhatd answers (default: $" CLI_SOCKET_VARIABLE ", else " CLI_DEFAULT_SOCKET ")",
	  8 },
	{ "wait", KEY_WAIT, "SECONDS", OPTION_ARG_OPTIONAL,
	  "Ask again while no dhatd answers, or nothing is attached yet (60 seconds if not given)",
	  8 },
	{ "json", 'j', 0, 0, "Print JSON, for programs", 8 },
	{ "help", '?', 0, 0, "Give this help list", -1 },
	{ 0, 'h', 0, OPTION_ALIAS, 0, 0 },
	{ "usage", KEY_USAGE, 0, 0, "Give a short usage message", -1 },
	{ 0 },
};

#define WAIT_SECONDS 60

static error_t parse_wait(struct argp_state *state, const char *arg)
{
	char *end = NULL;
	unsigned long seconds = arg ? strtoul(arg, &end, 10) : WAIT_SECONDS;

	if (arg && (*arg < '0' || *arg > '9' || *end || !seconds ||
		    seconds > CLIENT_MAX_PATIENCE_SECONDS)) {
		argp_error(state, "--wait=%s: not a number of seconds from 1 to %d", arg,
			   CLIENT_MAX_PATIENCE_SECONDS);
		return EINVAL;
	}
	client_set_patience(seconds);
	return 0;
}

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct common *common = state->input;

	switch (key) {
	case 's':
		common->socket_path = arg;
		return 0;
	case KEY_WAIT:
		return parse_wait(state, arg);
	case 'j':
		common->as_json = true;
		return 0;
	case '?':
	case 'h':
	case KEY_USAGE:
		argp_state_help(state, stdout,
				key != KEY_USAGE ? ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK
						 : ARGP_HELP_USAGE);
		common->is_done = true;
		return ECANCELED;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp common_argp = { .options = common_options, .parser = parse_common };

static const struct argp_option pid_options[] = {
	{ "pid", 'p', "N", 0, "The target; needed where several are attached", 1 },
	{ 0 },
};

static error_t parse_pid(int key, char *arg, struct argp_state *state)
{
	if (key != 'p')
		return ARGP_ERR_UNKNOWN;
	if (dhat_parse_pid(arg, state->input) < 0) {
		argp_error(state, "--pid %s: not a process id", arg);
		return EINVAL;
	}
	return 0;
}

const struct argp pid_argp = { .options = pid_options, .parser = parse_pid };

static const struct argp_option trim_options[] = {
	{ "trim", KEY_TRIM, "RULES", OPTION_ARG_OPTIONAL,
	  "Leave out frames that every allocation goes through: allocator (what lies between "
	  "malloc "
	  "and who wanted memory), tokio (its executor), std (of C++ and Rust) or all (the default "
	  "of --trim)",
	  3 },
	{ 0 },
};

static error_t parse_trim(int key, char *arg, struct argp_state *state)
{
	struct trim_options *trim = state->input;
	struct dhat_error err = { 0 };

	if (key != KEY_TRIM)
		return ARGP_ERR_UNKNOWN;
	trim->may_take_word = !arg;
	if (dhat_trim_parse(arg ? arg : "all", &trim->rules, &err) == 0)
		return 0;
	argp_error(state, "%s", err.message);
	return EINVAL;
}

const struct argp trim_argp = { .options = trim_options, .parser = parse_trim };

static const struct argp_option format_options[] = {
	{ "format", KEY_FORMAT, "NAME", 0,
	  "json (DHAT JSON), dhat (lossless), html (a report), pprof, speedscope, folded, jsonl, "
	  "massif or callgrind; default: as the file's suffix says (.json, .dhat, .html, .pb.gz, "
	  ".speedscope.json, .folded, .jsonl, .massif, .callgrind)",
	  2 },
	{ "metric", KEY_METRIC, "NAME", 0,
	  "What folded holds, and html, pprof, speedscope and callgrind show first: live-bytes "
	  "(the default), "
	  "live-blocks, peak-bytes, peak-blocks, total-bytes, total-blocks",
	  2 },
	{ 0 },
};

static void refuse_metric(struct argp_state *state, const char *word)
{
	char names[256] = "";
	size_t used = 0;

	for (unsigned i = 0; i < DHAT_METRIC_COUNT && used < sizeof(names); i++)
		used += snprintf(names + used, sizeof(names) - used, "%s%s",
				 i == 0			     ? ""
				 : i + 1 < DHAT_METRIC_COUNT ? ", "
							     : " and ",
				 dhat_metric_name(i));
	argp_error(state, "--metric %s: there are %s", word, names);
}

static error_t parse_format(int key, char *arg, struct argp_state *state)
{
	struct format_options *format = state->input;
	_cleanup_free_ char *names = NULL;

	switch (key) {
	case KEY_FORMAT:
		format->exporter = dhat_exporter_of_name(arg);
		if (format->exporter)
			return 0;
		names = dhat_exporter_names();
		argp_error(state, "--format %s: no such format; there are: %s", arg, names ?: "");
		return EINVAL;
	case KEY_METRIC:
		if (dhat_metric_parse(arg, &format->metric) == 0)
			return 0;
		refuse_metric(state, arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp format_argp = { .options = format_options, .parser = parse_format };

bool command_takes_pid_word(uint32_t *pid, const char *word)
{
	return !*pid && dhat_parse_pid(word, pid) == 0;
}

int command_refuse_terminal(const char *path, struct dhat_error *err)
{
	if (strcmp(path, "-") || !isatty(STDOUT_FILENO))
		return 0;
	return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
			      "a profile on a terminal helps nobody: give -o FILE, or pipe it on; "
			      "`dhatctl stats' prints for people");
}

bool command_takes_trim_word(struct trim_options *trim, const char *word)
{
	if (!trim->may_take_word || dhat_trim_parse(word, &trim->rules, NULL) < 0)
		return false;
	trim->may_take_word = false;
	return true;
}

void command_give_inputs(struct argp_state *state, void *const *inputs)
{
	for (size_t i = 0; state->root_argp->children[i].argp; i++)
		state->child_inputs[i] = inputs[i];
}

int command_parse(const struct argp *argp, int argc, char **argv, void *input,
		  struct common *common, struct dhat_error *err)
{
	const char *variable = getenv(CLI_SOCKET_VARIABLE);
	int r;

	common->socket_path = variable && *variable ? variable : CLI_DEFAULT_SOCKET;
	/* no lines about GNU's habits below each help */
	setenv("ARGP_HELP_FMT", "no-dup-args-note", 0);
	/* argp's own --help would exit from inside */
	r = argp_parse(argp, argc, argv, ARGP_NO_EXIT | ARGP_NO_HELP, NULL, input);
	if (r == 0 || common->is_done)
		return 0;
	if (err)
		err->code = DHAT_EXIT_USAGE; /* argp has said what is wrong */
	return -r;
}

int command_call_and_print(const struct common *common, Dhat__Request *request,
			   struct dhat_error *err)
{
	Dhat__Response *response;
	struct screen screen;
	int r;

	r = client_call(common->socket_path, request, DHAT__RESPONSE__BODY_DONE, &response, err);
	if (r < 0)
		return r;
	screen_init(&screen, stdout);
	if (common->as_json) {
		struct json_object *object = dhat_json_message(&response->done->base);

		r = object ? dhat_json_put(stdout, object) : -ENOMEM;
		json_object_put(object);
	} else {
		screen_text(&screen, *response->done->message ? response->done->message : "done");
	}
	fputc('\n', stdout);
	dhat__response__free_unpacked(response, NULL);
	return r < 0 ? dhat_error_errno(err, -r, "cannot print the result") : 0;
}
