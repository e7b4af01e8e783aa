#include "options.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "../proto/cleanup.h"
#include "../proto/units.h"

/* Options without a letter have keys beyond the characters. */
enum {
	KEY_RING_SIZE = 0x100,
	KEY_LINK,
	KEY_ALLOC,
	KEY_FREE,
	KEY_REALLOC,
	KEY_GROUP,
	KEY_FOLLOW_FORK,
	KEY_FOLLOW_EXEC,
	KEY_ANONYMOUS,
	KEY_NO_INVENTORY,
	KEY_MAX_MEMORY,
	KEY_CGROUP,
	KEY_NAME,
};

static const struct argp_option attach_options[] = {
	{ "pid", 'p', "N", 0, "Attach to process N; may be given several times", 1 },
	{ "name", KEY_NAME, "REGEX", 0,
	  "Attach to all processes whose command name matches, those that start later too", 1 },
	{ "cgroup", KEY_CGROUP, "PATH", 0,
	  "Attach to all processes of a control group, those that start later too", 1 },
	{ 0 },
};

static const struct argp_option target_options[] = {
	{ "output", 'o', "FILE", 0,
	  "At the end write the profile to FILE: DHAT JSON, or lossless if it ends in .dhat", 2 },
	{ "alloc", KEY_ALLOC, "SPEC", 0,
	  "Count a custom allocator, too: 'BIN:FUNC(size=arg1)' or 'BIN+0xOFFSET(size=arg1)'", 3 },
	{ "free", KEY_FREE, "SPEC", 0, "Its free function: 'BIN:FUNC(ptr=arg1)'", 3 },
	{ "realloc", KEY_REALLOC, "SPEC", 0, "Its realloc function: 'BIN:FUNC(ptr=arg1,size=arg2)'",
	  3 },
	{ "anonymous", KEY_ANONYMOUS, 0, 0,
	  "Record memory that the target maps itself (mmap, brk), too", 3 },
	{ "no-inventory", KEY_NO_INVENTORY, 0, 0,
	  "Do not take stock of the blocks from before the attach", 3 },
	{ "follow-fork", KEY_FOLLOW_FORK, 0, 0, "Attach to the children that a target forks, too",
	  4 },
	{ "follow-exec", KEY_FOLLOW_EXEC, 0, 0, "Go on when a target executes another program", 4 },
	{ "ring-size", KEY_RING_SIZE, "BYTES", 0,
	  "Size of a target's ring buffer, a power of two (default 16M)", 5 },
	{ "max-memory", KEY_MAX_MEMORY, "BYTES", 0,
	  "What dhatd may use for one target (default 2G)", 5 },
	{ "link", KEY_LINK, "KIND", 0,
	  "How probes are linked: session, multi or perf (default: the best this kernel has)", 5 },
	{ 0 },
};

static const struct argp_option socket_options[] = {
	{ "socket", 's', "PATH", 0,
	  "Answer requests here (default: $DHATD_SOCKET, else " DHATD_DEFAULT_SOCKET ")", 6 },
	{ "group", KEY_GROUP, "NAME", 0, "Members of this group may use the socket, too", 6 },
	{ "help", '?', 0, 0, "Give this help list", -1 },
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

/* Custom allocators travel as "alloc:SPEC": see AttachOptions in dhat.proto. */
static int add_custom(struct dhatd_options *options, const char *kind, const char *spec)
{
	size_t count = 0, size = strlen(kind) + 1 + strlen(spec) + 1;
	char **custom = options->target.custom, *text;

	while (custom && custom[count])
		count++;
	custom = reallocarray(custom, count + 2, sizeof(*custom));
	if (!custom)
		return -ENOMEM;
	options->target.custom = custom;
	custom[count] = custom[count + 1] = NULL;
	text = malloc(size);
	if (!text)
		return -ENOMEM;
	snprintf(text, size, "%s:%s", kind, spec);
	custom[count] = text;
	return 0;
}

static int parse_ring_size(struct argp_state *state, struct dhatd_options *options, const char *arg)
{
	uint64_t size;

	/* the kernel wants a power of two of whole pages, and addresses records with 30 bits */
	if (dhat_parse_size(arg, &size) < 0 || size < 4096 || size > 1u << 30 ||
	    (size & (size - 1))) {
		argp_error(state, "--ring-size %s: a power of two from 4K to 1G is needed", arg);
		return EINVAL;
	}
	options->target.ring_bytes = size;
	return 0;
}

static int parse_max_memory(struct argp_state *state, struct dhatd_options *options,
			    const char *arg)
{
	uint64_t size;

	if (dhat_parse_size(arg, &size) < 0 || size < 16u << 20) {
		argp_error(state, "--max-memory %s: a size of at least 16M is needed", arg);
		return EINVAL;
	}
	options->target.max_memory_bytes = size;
	return 0;
}

static int parse_link(struct argp_state *state, struct dhatd_options *options, const char *arg)
{
	if (strcmp(arg, "session") && strcmp(arg, "multi") && strcmp(arg, "perf")) {
		argp_error(state, "--link %s: there are session, multi and perf", arg);
		return EINVAL;
	}
	options->target.link = arg;
	return 0;
}

static int parse_name(struct argp_state *state, struct dhatd_options *options, const char *arg)
{
	char why[128];
	regex_t regex;
	int r;

	r = regcomp(&regex, arg, REG_EXTENDED | REG_NOSUB);
	if (r) {
		regerror(r, &regex, why, sizeof(why));
		argp_error(state, "--name %s: %s", arg, why);
		return EINVAL;
	}
	regfree(&regex);
	options->name_regex = arg;
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

static error_t parse_attach(int key, char *arg, struct argp_state *state)
{
	struct dhatd_options *options = state->input;

	switch (key) {
	case 'p':
		return parse_pid(state, options, arg);
	case KEY_NAME:
		return parse_name(state, options, arg);
	case KEY_CGROUP:
		options->cgroup_path = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_target(int key, char *arg, struct argp_state *state)
{
	struct dhatd_options *options = state->input;

	switch (key) {
	case 'o':
		options->output_path = arg;
		return 0;
	case KEY_RING_SIZE:
		return parse_ring_size(state, options, arg);
	case KEY_MAX_MEMORY:
		return parse_max_memory(state, options, arg);
	case KEY_LINK:
		return parse_link(state, options, arg);
	case KEY_ALLOC:
		return -add_custom(options, "alloc", arg);
	case KEY_FREE:
		return -add_custom(options, "free", arg);
	case KEY_REALLOC:
		return -add_custom(options, "realloc", arg);
	case KEY_FOLLOW_FORK:
		options->target.follow_fork = true;
		return 0;
	case KEY_FOLLOW_EXEC:
		options->target.follow_exec = true;
		return 0;
	case KEY_ANONYMOUS:
		options->target.anonymous_memory = true;
		return 0;
	case KEY_NO_INVENTORY:
		options->target.skip_inventory = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Help and version print here and not in argp, which would exit. */
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
	case '?':
		argp_state_help(state, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK);
		options->command = DHATD_DONE;
		return ECANCELED;
	case 'V':
		puts("dhatd " DHAT_VERSION);
		options->command = DHATD_DONE;
		return ECANCELED;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp attach_argp = { .options = attach_options, .parser = parse_attach };
static const struct argp target_argp = { .options = target_options, .parser = parse_target };
static const struct argp socket_argp = { .options = socket_options, .parser = parse_socket };

static const struct argp_child attach_children[] = {
	{ .argp = &attach_argp }, { .argp = &target_argp }, { .argp = &socket_argp }, { 0 }
};
static const struct argp_child run_children[] = { { .argp = &target_argp },
						  { .argp = &socket_argp },
						  { 0 } };
static const struct argp_child serve_children[] = { { .argp = &socket_argp }, { 0 } };

/* What belongs to a command as a whole. */
static error_t parse_command(int key, char *arg, struct argp_state *state)
{
	struct dhatd_options *options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		for (size_t i = 0; state->root_argp->children[i].argp; i++)
			state->child_inputs[i] = options;
		return 0;
	case ARGP_KEY_ARGS: /* the first argument that is no option, and all behind it */
		if (options->command == DHATD_RUN) {
			options->program = state->argv + state->next;
			return 0;
		}
		argp_error(state, "%s: not an option; a process is given by --pid",
			   state->argv[state->next]);
		return EINVAL;
	case ARGP_KEY_END:
		if (options->command == DHATD_RUN && !options->program) {
			argp_error(state,
				   "which program? dhatd run [OPTION...] -- PROGRAM [ARG...]");
			return EINVAL;
		}
		if (options->command == DHATD_ATTACH && !options->pid_count &&
		    !options->cgroup_path && !options->name_regex) {
			argp_error(state, "attach to what? give --pid, --name or --cgroup");
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
	  { .parser = parse_command,
	    .doc = "Profile the heap of running processes until they end or SIGINT or SIGTERM "
		   "comes; "
		   "answer dhatctl meanwhile.",
	    .children = attach_children } },
	{ "run",
	  "dhatd run",
	  DHATD_RUN,
	  { .parser = parse_command,
	    .args_doc = "-- PROGRAM [ARG...]",
	    .doc = "Start a program and profile its heap from its first allocation on.",
	    .children = run_children } },
	{ "serve",
	  "dhatd serve",
	  DHATD_SERVE,
	  { .parser = parse_command,
	    .doc = "Answer dhatctl; targets are added by `dhatctl attach`.",
	    .children = serve_children } },
};

static const char usage[] =
	"Usage: dhatd COMMAND [OPTION...]\n"
	"Profile the heap of running processes, without a change to them.\n"
	"\n"
	"  attach --pid N       profile a running process\n"
	"  run -- PROGRAM ...   start a program and profile it from its first allocation on\n"
	"  serve                answer dhatctl; no target at the start\n"
	"\n"
	"dhatd COMMAND --help lists the options of a command. dhatctl asks a running dhatd.\n";

static int parse_options(size_t command, int argc, char **argv, struct dhatd_options *options)
{
	/* --help is ours; argp's own would exit from inside */
	const unsigned flags = ARGP_NO_EXIT | ARGP_NO_HELP | ARGP_IN_ORDER;
	int r;

	options->command = commands[command].command;
	argv[0] = (char *)commands[command].title; /* as messages shall name us */
	r = argp_parse(&commands[command].argp, argc, argv, flags, NULL, options);
	if (r == ECANCELED && options->command == DHATD_DONE)
		return 0;
	return -r;
}

int dhatd_options_parse(int argc, char **argv, struct dhatd_options *ret)
{
	const char *name = argc > 1 ? argv[1] : "", *variable = getenv(DHATD_SOCKET_VARIABLE);

	memset(ret, 0, sizeof(*ret));
	ret->socket_path = variable && *variable ? variable : DHATD_DEFAULT_SOCKET;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(name, commands[i].name))
			return parse_options(i, argc - 1, argv + 1, ret);
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-?") || !strcmp(name, "help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		puts("dhatd " DHAT_VERSION);
		return 0;
	}
	if (*name)
		fprintf(stderr, "dhatd: %s: no such command\n", name);
	else
		fprintf(stderr, "dhatd: a command is missing\n");
	fprintf(stderr, "There are attach, run and serve; `dhatd --help' tells more.\n");
	return -EINVAL;
}

void dhatd_options_deinit(struct dhatd_options *options)
{
	for (char **custom = options->target.custom; custom && *custom; custom++)
		free(*custom);
	free(options->target.custom);
	free(options->pids);
	memset(options, 0, sizeof(*options));
}
