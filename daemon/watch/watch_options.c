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
	  "Detach from a process that costs more of a core than this, such as 3%, for 30 s", 5 },
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
	if (trigger_parse_percent(arg, &settings->max_overhead) == 0)
		return 0;
	argp_error(state, "--max-overhead %s: a percentage is wanted, such as 3%% or 2.5%%", arg);
	return EINVAL;
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
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp watch_argp = { .options = options, .parser = parse };

void watch_options_deinit(struct watch_options *watch)
{
	watch_deinit(&watch->settings);
	*watch = (struct watch_options){ 0 };
}

const char *watch_folder(const struct watch_options *watch)
{
	const char *state = getenv("STATE_DIRECTORY");

	if (watch->folder)
		return watch->folder;
	return state && *state ? state : WATCH_DEFAULT_FOLDER;
}
