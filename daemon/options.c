#include "options_private.h"

#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/source/uprobes.h"
#include "proto/base/cleanup.h"
#include "proto/base/option_words.h"
#include "proto/base/qualifiers.h"
#include "proto/base/say.h"
#include "proto/base/similar.h"
#include "proto/base/texts.h"
#include "proto/base/units.h"

/* Options without a letter have keys beyond the characters. */
enum {
	KEY_GROUP = 0x100,
	KEY_CGROUP,
	KEY_CONTAINER,
	KEY_NAME,
	KEY_COMMAND,
	KEY_MAX_TARGETS,
	KEY_UNIT,
	KEY_CONFIG,
	KEY_MAX_MEMORY,
	KEY_DEBUGINFOD,
	KEY_DEBUGINFOD_SECONDS,
	KEY_USAGE,
	KEY_ASSERT,
	KEY_FOR,
};

static const struct argp_option attach_options[] = {
	{ "pid", 'p', "N", 0, "Attach to process N; may be given several times", 1 },
	{ 0 },
};

/* Of plan and repair, which look and are done. */
static const struct argp_option looking_options[] = {
	{ "pid", 'p', "N", 0, "Look at process N; may be given several times", 1 },
	{ "json", 'j', 0, 0, "Print JSON, for programs", 2 },
	{ "help", '?', 0, 0, "Give this help list", -1 },
	{ 0, 'h', 0, OPTION_ALIAS, 0, -1 },
	{ "usage", KEY_USAGE, 0, 0, "Give a short usage message", -1 },
	{ 0 },
};

static const struct argp_option ps_options[] = {
	{ "for", KEY_FOR, "SECONDS", 0, "Watch so long (default 2; from 0.1 to 3600)", 1 },
	{ "top", 'n', "N", 0, "Tell of the N that grow most (default 20)", 1 },
	{ "json", 'j', 0, 0, "Print JSON, for programs", 2 },
	{ "help", '?', 0, 0, "Give this help list", -1 },
	{ 0, 'h', 0, OPTION_ALIAS, 0, -1 },
	{ "usage", KEY_USAGE, 0, 0, "Give a short usage message", -1 },
	{ 0 },
};

/* Which processes, those that start later included; plan only lists them. */
static const struct argp_option match_options[] = {
	{ "name", KEY_NAME, "REGEX", 0, "All processes whose program's name matches", 1 },
	{ "command", KEY_COMMAND, "REGEX", 0, "All processes whose command line matches", 1 },
	{ "cgroup", KEY_CGROUP, "PATH", 0, "All processes of a control group", 1 },
	{ "container", KEY_CONTAINER, "ID", 0,
	  "All processes of a container, or of a pod by its UID", 1 },
	{ "unit", KEY_UNIT, "NAME", 0, "All processes of a unit of systemd, such as nginx.service",
	  1 },
	{ "max-targets", KEY_MAX_TARGETS, "N", 0, "Of these at most N at a time (default 16)", 1 },
	{ 0 },
};

static const struct argp_option output_options[] = {
	{ "output", 'o', "FILE", 0,
	  "At the end write the profile to FILE, in the format that its ending names (.json: "
	  "DHAT's, .dhat: lossless)",
	  2 },
	{ 0 },
};

static const struct argp_option assert_options[] = {
	{ "assert", KEY_ASSERT, "CONDITION", 0,
	  "At the end judge the profile, such as 'live.bytes == 0' (see dhatctl(1)); the exit "
	  "status "
	  "is 15 if it does not hold; may be given several times",
	  2 },
	{ 0 },
};

static const struct argp_option serve_options[] = {
	{ "config", KEY_CONFIG, "FILE", 0,
	  "Watch the processes that the sections of this file name: dhatd.conf in dhatd(8)", 1 },
	{ "max-memory", KEY_MAX_MEMORY, "BYTES", 0,
	  "What dhatd may use for one target of which neither `dhatctl attach' nor a section says "
	  "it "
	  "(default 2G)",
	  1 },
	{ 0 },
};

static const struct argp_option socket_options[] = {
	{ "socket", 's', "PATH", 0,
	  "Answer requests here (default: $DHATD_SOCKET, else " DHATD_DEFAULT_SOCKET ")", 6 },
	{ "debuginfod", KEY_DEBUGINFOD, "URLS", OPTION_ARG_OPTIONAL,
	  "Ask these servers for debug files that are not on this machine "
	  "(default: $DEBUGINFOD_URLS)",
	  6 },
	{ "debuginfod-seconds", KEY_DEBUGINFOD_SECONDS, "N", 0,
	  "How long one debug file may take (default 20)", 6 },
	{ "group", KEY_GROUP, "NAME", 0, "Members of this group may use the socket, too", 6 },
	{ "help", '?', 0, 0, "Give this help list", -1 },
	{ 0, 'h', 0, OPTION_ALIAS, 0, -1 },
	{ "usage", KEY_USAGE, 0, 0, "Give a short usage message", -1 },
	{ "version", 'V', 0, 0, "Print the version", -1 },
	{ 0 },
};

static int add_pid(struct dhatd_options *options, uint32_t pid)
{
	pid_t *pids;

	for (size_t i = 0; i < options->pid_count; i++) {
		if (options->pids[i] == (pid_t)pid)
			return 0;
	}
	pids = reallocarray(options->pids, options->pid_count + 1, sizeof(*pids));
	if (!pids)
		return -ENOMEM;
	pids[options->pid_count++] = pid;
	options->pids = pids;
	return 0;
}

static int parse_regex(struct argp_state *state, const char *option, const char *arg,
		       const char **ret)
{
	char why[128];
	regex_t regex;
	int r;

	if (!*arg) {
		argp_error(state, "%s: an empty pattern matches everything", option);
		return EINVAL;
	}
	r = regcomp(&regex, arg, REG_EXTENDED | REG_NOSUB);
	if (r) {
		regerror(r, &regex, why, sizeof(why));
		argp_error(state, "%s %s: %s", option, arg, why);
		return EINVAL;
	}
	regfree(&regex);
	*ret = arg;
	return 0;
}

static int parse_pid(struct argp_state *state, struct dhatd_options *options, const char *arg)
{
	uint32_t pid;

	if (dhat_parse_pid(arg, &pid) < 0) {
		argp_error(state, "--pid %s: not a process id", arg);
		return EINVAL;
	}
	return -add_pid(options, pid);
}

static int parse_max_targets(struct argp_state *state, struct dhatd_options *options,
			     const char *arg)
{
	uint32_t count;

	/* the same digits: a number from 1 on */
	if (dhat_parse_pid(arg, &count) < 0) {
		argp_error(state, "--max-targets %s: not a number from 1 on", arg);
		return EINVAL;
	}
	options->max_targets = count;
	return 0;
}

static int parse_max_memory(struct argp_state *state, struct dhatd_options *options,
			    const char *arg)
{
	if (dhat_parse_size(arg, &options->attach.max_memory_bytes) == 0 &&
	    options->attach.max_memory_bytes >= DHAT_MAX_MEMORY_LEAST)
		return 0;
	argp_error(state, "--max-memory %s: a size of at least 16M is needed", arg);
	return EINVAL;
}

static error_t parse_attach(int key, char *arg, struct argp_state *state)
{
	struct dhatd_options *options = state->input;

	switch (key) {
	case 'p':
		return parse_pid(state, options, arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_match(int key, char *arg, struct argp_state *state)
{
	struct dhatd_options *options = state->input;

	switch (key) {
	case KEY_NAME:
		return parse_regex(state, "--name", arg, &options->match.name_regex);
	case KEY_COMMAND:
		return parse_regex(state, "--command", arg, &options->match.command_regex);
	case KEY_CGROUP:
		options->match.cgroup_path = arg;
		return 0;
	case KEY_CONTAINER:
		options->match.container = arg;
		return 0;
	case KEY_UNIT:
		options->match.unit = arg;
		return 0;
	case KEY_MAX_TARGETS:
		return parse_max_targets(state, options, arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int parse_debuginfod(struct argp_state *state, struct dhatd_options *options,
			    const char *arg)
{
	options->debuginfod_urls = arg ? arg : getenv("DEBUGINFOD_URLS");
	if (options->debuginfod_urls && *options->debuginfod_urls)
		return 0;
	argp_error(state, "--debuginfod: which servers? give URLs, or set DEBUGINFOD_URLS");
	return EINVAL;
}

static int parse_seconds(struct argp_state *state, struct dhatd_options *options, const char *arg)
{
	char *end;
	unsigned long seconds = strtoul(arg, &end, 10);

	if (*arg < '0' || *arg > '9' || *end || !seconds || seconds > 3600) {
		argp_error(state, "--debuginfod-seconds %s: not a number from 1 to 3600", arg);
		return EINVAL;
	}
	options->debuginfod_seconds = seconds;
	return 0;
}

/* Help and version print here and not in argp, which would exit. */
static error_t give_help(struct argp_state *state, struct dhatd_options *options, int key)
{
	argp_state_help(state, stdout,
			key == KEY_USAGE ? ARGP_HELP_USAGE
					 : ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK);
	options->command = DHATD_DONE;
	return ECANCELED;
}

static error_t parse_socket(int key, char *arg, struct argp_state *state)
{
	struct dhatd_options *options = state->input;

	switch (key) {
	case 's':
		options->socket_path = arg;
		return 0;
	case KEY_GROUP:
		options->group = arg;
		return 0;
	case KEY_DEBUGINFOD:
		return parse_debuginfod(state, options, arg);
	case KEY_DEBUGINFOD_SECONDS:
		return parse_seconds(state, options, arg);
	case '?':
	case 'h':
	case KEY_USAGE:
		return give_help(state, options, key);
	case 'V':
		puts("dhatd " DHAT_VERSION);
		options->command = DHATD_DONE;
		return ECANCELED;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp attach_argp = { .options = attach_options, .parser = parse_attach };
static error_t parse_assert(int key, char *arg, struct argp_state *state)
{
	struct dhatd_options *options = state->input;

	if (key != KEY_ASSERT)
		return ARGP_ERR_UNKNOWN;
	return -dhat_gate_add(&options->gate, arg, state->name);
}

static const struct argp assert_argp = { .options = assert_options, .parser = parse_assert };
const struct argp dhatd_match_argp = { .options = match_options, .parser = parse_match };
static const struct argp socket_argp = { .options = socket_options, .parser = parse_socket };

static const struct argp_child attach_children[] = { { .argp = &attach_argp },
						     { .argp = &dhatd_match_argp },
						     { .argp = &dhat_attach_argp },
						     { .argp = &watch_argp },
						     { .argp = &socket_argp },
						     { .argp = &http_argp },
						     { 0 } };
static const struct argp_child run_children[] = { { .argp = &assert_argp },
						  { .argp = &dhat_gate_argp },
						  { .argp = &dhat_attach_argp },
						  { .argp = &watch_argp },
						  { .argp = &socket_argp },
						  { .argp = &http_argp },
						  { 0 } };
static const struct argp_child serve_children[] = {
	{ .argp = &watch_argp }, { .argp = &socket_argp }, { .argp = &http_argp }, { 0 }
};
static const struct argp_child plan_children[] = { { .argp = &dhatd_match_argp },
						   { .argp = &dhat_attach_argp },
						   { 0 } };

static void *input_of(struct dhatd_options *options, const struct argp *argp)
{
	if (argp == &dhat_attach_argp)
		return &options->attach;
	if (argp == &http_argp)
		return &options->http;
	if (argp == &watch_argp)
		return &options->watch;
	return argp == &dhat_gate_argp ? (void *)&options->gate : (void *)options;
}

void dhatd_options_give_inputs(struct argp_state *state, struct dhatd_options *options)
{
	const struct argp_child *children = state->root_argp->children;

	for (size_t i = 0; children && children[i].argp; i++)
		state->child_inputs[i] = input_of(options, children[i].argp);
}

/* repair and plan: they look, print, and end. */
static error_t parse_look(int key, char *arg, struct argp_state *state)
{
	struct dhatd_options *options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		dhatd_options_give_inputs(state, options);
		return 0;
	case 'p':
	case ARGP_KEY_ARG:
		return parse_pid(state, options, arg);
	case 'j':
		options->as_json = true;
		return 0;
	case '?':
	case 'h':
	case KEY_USAGE:
		return give_help(state, options, key);
	case ARGP_KEY_END:
		if (options->pid_count || match_is_asked(&options->match))
			return 0;
		argp_error(state, options->command == DHATD_PLAN
					  ? "which process? give --pid N, --name, --command, "
					    "--cgroup or --container"
					  : "which process? give --pid N");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

#define PS_SECONDS 2
#define PS_LEAST_SECONDS 0.1
#define PS_MOST_SECONDS 3600
#define PS_TOP 20

static error_t parse_for(struct argp_state *state, struct dhatd_options *options, const char *arg)
{
	char *end;

	options->ps_seconds = strtod(arg, &end);
	if (end != arg && !*end && options->ps_seconds >= PS_LEAST_SECONDS &&
	    options->ps_seconds <= PS_MOST_SECONDS)
		return 0;
	argp_error(state, "--for %s: not a number of seconds from %.1f to %d", arg,
		   PS_LEAST_SECONDS, PS_MOST_SECONDS);
	return EINVAL;
}

static error_t parse_top(struct argp_state *state, struct dhatd_options *options, const char *arg)
{
	uint64_t number;

	if (dhat_parse_size(arg, &number) < 0) {
		argp_error(state, "--top %s: not a number", arg);
		return EINVAL;
	}
	options->ps_top = number;
	return 0;
}

static error_t parse_ps(int key, char *arg, struct argp_state *state)
{
	struct dhatd_options *options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		options->ps_seconds = PS_SECONDS;
		options->ps_top = PS_TOP;
		return 0;
	case KEY_FOR:
		return parse_for(state, options, arg);
	case 'n':
		return parse_top(state, options, arg);
	case 'j':
		options->as_json = true;
		return 0;
	case '?':
	case 'h':
	case KEY_USAGE:
		return give_help(state, options, key);
	case ARGP_KEY_ARG:
		argp_error(state, "%s: not an option; `dhatd plan %s' looks at one process", arg,
			   arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* An argument of attach is a process. */
static error_t parse_argument(struct argp_state *state, struct dhatd_options *options,
			      const char *arg)
{
	uint32_t pid;

	if (options->command == DHATD_RUN)
		return ARGP_ERR_UNKNOWN; /* ARGP_KEY_ARGS takes it, and all behind it */
	if (options->command == DHATD_ATTACH && dhat_parse_pid(arg, &pid) == 0)
		return -add_pid(options, pid);
	if (options->command == DHATD_ATTACH)
		argp_error(state, "%s: not a process id; processes are found by --name %s", arg,
			   arg);
	else
		argp_error(state, "%s: not an option", arg);
	return EINVAL;
}

/* What belongs to a command as a whole. */
static error_t parse_command(int key, char *arg, struct argp_state *state)
{
	struct dhatd_options *options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		dhatd_options_give_inputs(state, options);
		return 0;
	case 'o':
		options->output_path = arg;
		return 0;
	case KEY_CONFIG:
		options->config_path = arg;
		return 0;
	case KEY_MAX_MEMORY: /* serve's; of others it is attach_options.c's */
		return parse_max_memory(state, options, arg);
	case ARGP_KEY_ARG:
		return parse_argument(state, options, arg);
	case ARGP_KEY_ARGS: /* the first argument that is no option, and all behind it */
		options->program = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		if (options->command == DHATD_RUN && !options->program) {
			argp_error(state,
				   "which program? dhatd run [OPTION...] -- PROGRAM [ARG...]");
			return EINVAL;
		}
		if (options->command == DHATD_ATTACH && !options->pid_count &&
		    !match_is_asked(&options->match)) {
			argp_error(state,
				   "attach to what? give --pid, --name, --command, --cgroup, "
				   "--unit or --container");
			return EINVAL;
		}
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct {
	const char *name, *title;
	enum dhatd_command command;
	struct argp argp;
} commands[] = {
	{ "attach",
	  "dhatd attach",
	  DHATD_ATTACH,
	  { .options = output_options,
	    .parser = parse_command,
	    .args_doc = "[PID...]",
	    .doc = "Profile the heap of running processes until SIGINT or SIGTERM comes, and "
		   "answer dhatctl meanwhile. The profile of a process that has ended stays; with "
		   "--output dhatd writes it and ends with the last process.",
	    .children = attach_children } },
	{ "run",
	  "dhatd run",
	  DHATD_RUN,
	  { .options = output_options,
	    .parser = parse_command,
	    .args_doc = "-- PROGRAM [ARG...]",
	    .doc = "Start a program and profile its heap from its first allocation on.",
	    .children = run_children } },
	{ "serve",
	  "dhatd serve",
	  DHATD_SERVE,
	  { .options = serve_options,
	    .parser = parse_command,
	    .doc = "Answer dhatctl; targets are added by `dhatctl attach`, and by --config, which "
		   "is read again at SIGHUP, as are tokens and certificates.",
	    .children = serve_children } },
	{ "plan",
	  "dhatd plan",
	  DHATD_PLAN,
	  { .options = looking_options,
	    .parser = parse_look,
	    .args_doc = "[PID...]",
	    .doc = "What an attach would find and do, without attaching: the allocators of a "
		   "process, where the probes would sit, what could go wrong, and what it would "
		   "cost. Asked by name, command line or control group: which processes would be "
		   "attached to. The exit status is 0 if it is safe to attach, else the one that "
		   "an attach would have.",
	    .children = plan_children } },
	{ "ps",
	  "dhatd ps",
	  DHATD_PS,
	  { .options = ps_options,
	    .parser = parse_ps,
	    .doc = "Which processes grow: their memory, how fast it grows, measured for some "
		   "seconds, and the allocator that is seen. Nothing is attached to, and nobody "
		   "has to be root." } },
	{ "repair",
	  "dhatd repair",
	  DHATD_REPAIR,
	  { .options = looking_options,
	    .parser = parse_look,
	    .args_doc = "[PID...]",
	    .doc = "Remove breakpoints from a process's code that serve nobody any more: what a "
		   "tracer leaves that is killed while it lets go. Probes that are in use stay. "
		   "The exit status is 6 if some had to be left alone." } },
};

static const char usage[] =
	"Usage: dhatd COMMAND [OPTION...]\n"
	"Profile the heap of running processes, without a change to them.\n"
	"\n"
	"  attach PID...        profile running processes\n"
	"  run -- PROGRAM ...   start a program and profile it from its first allocation on\n"
	"  serve                answer dhatctl; no target at the start\n"
	"  ps                   which processes grow, and how fast\n"
	"  plan PID             what an attach would find and cost, without attaching\n"
	"  repair PID           remove breakpoints that a killed tracer left in a process\n"
	"\n"
	"dhatd COMMAND --help lists the options of a command. dhatctl asks a running dhatd.\n";

/* The daemon's own form of what was asked for. */
static void fill_target(struct dhatd_options *options)
{
	const struct dhat_attach_options *attach = &options->attach;

	options->target = (struct target_options){
		.ring_bytes = attach->ring_bytes,
		.link = attach->link,
		.custom = attach->custom,
		.follow_fork = attach->follow_fork,
		.follow_exec = attach->follow_exec,
		.anonymous_memory = attach->anonymous_memory,
		.skip_inventory = attach->skip_inventory,
		.with_lifetimes = attach->with_lifetimes,
		.sample_bytes = attach->sample_bytes,
		.no_return_probes = attach->no_return_probes,
		.sites = uprobes_sites_of_name(attach->sites),
		.max_memory_bytes = attach->max_memory_bytes,
		.from_start = options->command == DHATD_RUN,
	};
}

static int parse_options(size_t command, int argc, char **argv, struct dhatd_options *options)
{
	/* --help is ours; argp's own would exit from inside */
	const unsigned flags = ARGP_NO_EXIT | ARGP_NO_HELP | ARGP_IN_ORDER;
	bool is_format_ours;
	int r;

	options->command = commands[command].command;
	/* no lines about GNU's habits below each help */
	is_format_ours = !getenv("ARGP_HELP_FMT");
	setenv("ARGP_HELP_FMT", "no-dup-args-note", 0);
	argv[0] = without_qualifiers(commands[command].title); /* as messages shall name us */
	r = argp_parse(&commands[command].argp, argc, argv, flags, NULL, options);
	if (is_format_ours)
		unsetenv("ARGP_HELP_FMT"); /* a program that we run gets our environment */
	if (r == ECANCELED && options->command == DHATD_DONE)
		return 0;
	fill_target(options);
	return -r;
}

/* ARRAY_SIZE(commands): no such command. */
static size_t find_command(const char *name)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(commands) && strcmp(name, commands[i].name) != 0)
		i++;
	return i;
}

/* Does this option of any command have the next word for its value? "--name run" names no command.
 */
static bool has_value(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (option_word(&commands[i].argp, word) == OPTION_WORD_VALUED)
			return true;
	return false;
}

/* "dhatd --socket X attach 1": options may come first. The command's name is moved in front of
 * them. */
static size_t move_command(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		size_t command = find_command(argv[i]);
		char *name = argv[i];

		if (has_value(argv[i]))
			i++;
		if (command == ARRAY_SIZE(commands))
			continue;
		memmove(argv + 2, argv + 1, (i - 1) * sizeof(*argv));
		argv[1] = name;
		return command;
	}
	return ARRAY_SIZE(commands);
}

static bool is_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "-?") ||
	       !strcmp(word, "help");
}

static int no_such_command(const char *name)
{
	struct dhat_similar similar = { .word = name };

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		dhat_similar_consider(&similar, commands[i].name);
	if (!*name || *name == '-')
		dhat_say("dhatd", "a command is missing");
	else if (similar.best)
		dhat_say("dhatd", "%s: no such command; did you mean %s?", name, similar.best);
	else
		dhat_say("dhatd", "%s: no such command", name);
	dhat_say("dhatd",
		 "there are attach, run, serve, ps, plan and repair; `dhatd --help' tells more");
	return -EINVAL;
}

int dhatd_options_parse(int argc, char **argv, struct dhatd_options *ret)
{
	static char help_option[] = "--help";
	const char *name = argc > 1 ? argv[1] : "", *variable = getenv(DHATD_SOCKET_VARIABLE);
	size_t command;

	memset(ret, 0, sizeof(*ret));
	ret->socket_path = variable && *variable ? variable : DHATD_DEFAULT_SOCKET;
	if (is_help(name) && argc > 2 && find_command(argv[2]) < ARRAY_SIZE(commands)) {
		/* "dhatd help attach" is "dhatd attach --help" */
		argv[1] = argv[2];
		argv[2] = help_option;
		return parse_options(find_command(argv[1]), 2, argv + 1, ret);
	}
	if (is_help(name)) {
		fputs(usage, stdout);
		return 0;
	}
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		puts("dhatd " DHAT_VERSION);
		return 0;
	}
	command = *name == '-' ? move_command(argc, argv) : find_command(name);
	if (command < ARRAY_SIZE(commands))
		return parse_options(command, argc - 1, argv + 1, ret);
	return no_such_command(name);
}

void dhatd_options_deinit(struct dhatd_options *options)
{
	dhat_attach_options_deinit(&options->attach);
	dhat_gate_deinit(&options->gate);
	watch_options_deinit(&options->watch);
	texts_free(options->words);
	free(options->pids);
	memset(options, 0, sizeof(*options));
}

void dhatd_options_settle(struct dhatd_options *options)
{
	fill_target(options);
}
