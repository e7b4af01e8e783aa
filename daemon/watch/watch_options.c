#include "watch_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/units.h"
#include "spool.h"

/* Keys beyond the characters: no option here has a letter. */
enum {
	KEY_ON = 0x400,
	KEY_EXEC,
	KEY_EVERY,
	KEY_KEEP,
	KEY_RECORD,
	KEY_MAX_OVERHEAD,
	KEY_PUSH,
	KEY_PUSH_EVERY,
	KEY_PUSH_AS,
	KEY_PUSH_TOKEN,
	KEY_PUSH_CA,
	KEY_PUSH_TENANT,
	KEY_PUSH_SPOOL,
};

static const struct argp_option options[] = {
	{ "on", KEY_ON, "TRIGGER", 0,
	  "Keep a profile, and say so, when this comes true, such as 'rss>2GiB' or "
	  "'growth>10MiB/min "
	  "for 5m'; may be given several times",
	  5 },
	{ "exec", KEY_EXEC, "COMMAND", 0,
	  "Run this then, without a shell; its environment tells why", 5 },
	{ "every", KEY_EVERY, "DURATION", 0, "Keep a profile each so often, such as 10m", 5 },
	{ "keep", KEY_KEEP, "N", 0, "Of a program keep the newest N of each kind (default 24)", 5 },
	{ "record", KEY_RECORD, "DIR", 0,
	  "Keep them here (default: $STATE_DIRECTORY, else " WATCH_DEFAULT_FOLDER ")", 5 },
	{ "max-overhead", KEY_MAX_OVERHEAD, "PERCENT", 0,
	  "Detach from a process that has cost more of a core than this, such as 3%, for 30 s, or "
	  "'3% for 5m'",
	  5 },
	{ "push", KEY_PUSH, "URL", 0,
	  "Send profiles to Pyroscope, Grafana Alloy, Parca or a store of JSON lines: each that a "
	  "trigger keeps, and those of --push-every",
	  8 },
	{ "push-every", KEY_PUSH_EVERY, "DURATION", 0, "Send one each so often, such as 1m", 8 },
	{ "push-as", KEY_PUSH_AS, "FORM", 0,
	  "What is there: " PUSH_FORM_NAMES " (default: as the URL's path tells)", 8 },
	{ "push-token", KEY_PUSH_TOKEN, "FILE", 0,
	  "Show the token in FILE there: as a bearer's, or as password of the URL's user", 8 },
	{ "push-ca", KEY_PUSH_CA, "FILE", 0,
	  "Trust the authorities in FILE (PEM) instead of the system's", 8 },
	{ "push-tenant", KEY_PUSH_TENANT, "NAME", 0, "Send it as this tenant (X-Scope-OrgID)", 8 },
	{ "push-spool", KEY_PUSH_SPOOL, "SIZE", 0,
	  "What waits on disk while nobody is there: at most so much (default 256M)", 8 },
	{ 0 },
};

static int parse_on(struct argp_state *state, struct watch_settings *settings, const char *arg)
{
	char why[TRIGGER_WHY_CHARS];
	struct trigger trigger;
	int error = trigger_parse(arg, &trigger, why);

	if (error) {
		argp_error(state, "--on '%s': %s", arg, why);
		return EINVAL;
	}
	error = watch_add_trigger(settings, &trigger);
	if (error == -E2BIG)
		argp_error(state, "--on '%s': more than %d are too many", arg, WATCH_TRIGGERS_MAX);
	return -error;
}

static int parse_exec(struct argp_state *state, struct watch_settings *settings, const char *arg)
{
	if (!arg[strspn(arg, " \t")]) {
		argp_error(state, "--exec: which program?");
		return EINVAL;
	}
	free(settings->command);
	settings->command = strdup(arg);
	return settings->command ? 0 : ENOMEM;
}

static int parse_every(struct argp_state *state, struct watch_settings *settings, const char *arg)
{
	if (dhat_parse_duration(arg, &settings->every_ns) == 0)
		return 0;
	argp_error(state, "--every %s: a duration is wanted, such as 90s, 10m or 1h", arg);
	return EINVAL;
}

static int parse_keep(struct argp_state *state, struct watch_settings *settings, const char *arg)
{
	uint32_t number;

	/* the same digits: a number from 1 on */
	if (dhat_parse_pid(arg, &number) || number > SPOOL_FILES_MAX) {
		argp_error(state, "--keep %s: not a number from 1 to %d", arg, SPOOL_FILES_MAX);
		return EINVAL;
	}
	settings->keep = number;
	return 0;
}

static int parse_max_overhead(struct argp_state *state, struct watch_settings *settings,
			      const char *arg)
{
	char why[TRIGGER_WHY_CHARS];

	if (overhead_parse(arg, &settings->max_overhead, why) == 0)
		return 0;
	argp_error(state, "--max-overhead '%s': %s", arg, why);
	return EINVAL;
}

/* ---- where to ------------------------------------------------------------------------------ */

static int parse_text(const char *arg, char **ret)
{
	free(*ret);
	*ret = strdup(arg);
	return *ret ? 0 : ENOMEM;
}

static int parse_push_every(struct argp_state *state, struct push_settings *push, const char *arg)
{
	if (dhat_parse_duration(arg, &push->every_ns) == 0)
		return 0;
	argp_error(state, "--push-every %s: a duration is wanted, such as 15s, 1m or 1h", arg);
	return EINVAL;
}

static int parse_push_as(struct argp_state *state, struct push_settings *push, const char *arg)
{
	if (push_form_of_name(arg, &push->form) == 0)
		return 0;
	argp_error(state, "--push-as %s: there are " PUSH_FORM_NAMES, arg);
	return EINVAL;
}

static int parse_push_tenant(struct argp_state *state, struct push_settings *push, const char *arg)
{
	for (const char *c = arg; *c; c++)
		if (*c <= ' ' || *c > '~') {
			argp_error(state, "--push-tenant %s: printable ASCII is wanted", arg);
			return EINVAL;
		}
	return parse_text(arg, &push->tenant);
}

static int parse_push_spool(struct argp_state *state, struct push_settings *push, const char *arg)
{
	if (dhat_parse_size(arg, &push->spool_bytes) == 0 && push->spool_bytes >= PUSH_SPOOL_LEAST)
		return 0;
	argp_error(state, "--push-spool %s: a size is wanted, 1M at least", arg);
	return EINVAL;
}

static error_t parse_push(int key, char *arg, struct argp_state *state, struct push_settings *push)
{
	switch (key) {
	case KEY_PUSH:
		return parse_text(arg, &push->url);
	case KEY_PUSH_EVERY:
		return parse_push_every(state, push, arg);
	case KEY_PUSH_AS:
		return parse_push_as(state, push, arg);
	case KEY_PUSH_TOKEN:
		return parse_text(arg, &push->token_path);
	case KEY_PUSH_CA:
		return parse_text(arg, &push->ca_path);
	case KEY_PUSH_TENANT:
		return parse_push_tenant(state, push, arg);
	case KEY_PUSH_SPOOL:
		return parse_push_spool(state, push, arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct watch_options *watch = state->input;

	switch (key) {
	case KEY_ON:
		return parse_on(state, &watch->settings, arg);
	case KEY_EXEC:
		return parse_exec(state, &watch->settings, arg);
	case KEY_EVERY:
		return parse_every(state, &watch->settings, arg);
	case KEY_KEEP:
		return parse_keep(state, &watch->settings, arg);
	case KEY_RECORD:
		watch->folder = arg;
		return 0;
	case KEY_MAX_OVERHEAD:
		return parse_max_overhead(state, &watch->settings, arg);
	default:
		return parse_push(key, arg, state, &watch->settings.push);
	}
}

const struct argp watch_argp = { .options = options, .parser = parse };

void watch_options_deinit(struct watch_options *watch)
{
	watch_deinit(&watch->settings);
	*watch = (struct watch_options){ 0 };
}

static const char *named_folder(const struct watch_options *watch)
{
	const char *state = getenv("STATE_DIRECTORY");

	if (watch->folder)
		return watch->folder;
	return state && *state ? state : NULL;
}

bool watch_has_folder(const struct watch_options *watch)
{
	return named_folder(watch) != NULL;
}

const char *watch_folder(const struct watch_options *watch)
{
	return named_folder(watch) ?: WATCH_DEFAULT_FOLDER;
}
