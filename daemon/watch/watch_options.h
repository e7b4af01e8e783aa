#pragma once
/* watch_options: what is to be done about targets while they are watched, as command lines say it,
 * and, an option a line, configuration files.
 */
#include <argp.h>

#include "settings.h"

#define WATCH_DEFAULT_FOLDER "/var/lib/dhatd"

struct watch_options {
	struct watch_settings settings; /* owned */
	const char *folder;		/* as given; NULL: watch_folder() tells */
};

/* A child parser; its input is a struct watch_options, zeroed before. */
extern const struct argp watch_argp;
void watch_options_deinit(struct watch_options *options);

/* Where profiles are kept: --record, else what a service manager made for us ($STATE_DIRECTORY),
 * else WATCH_DEFAULT_FOLDER. */
/* Was it named, by an option or a service manager? */
bool watch_has_folder(const struct watch_options *watch);
const char *watch_folder(const struct watch_options *options);
