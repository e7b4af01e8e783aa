#pragma once
/* config: what a service watches, as a file says it. Pure.
 *
 *	# of nginx, each worker
 *	[watch nginx]
 *	unit = nginx.service
 *	on = rss>2GiB
 *	exec = /usr/local/bin/page oncall
 *
 * Keys are options of `dhatd attach`, those of a file of its own (dhatd(8)).
 */
#include "options.h"

#define CONFIG_SECTIONS_MAX 32
#define CONFIG_NAME_CHARS 64

struct config_section {
	char name[CONFIG_NAME_CHARS]; /* "nginx" */
	struct dhatd_options options; /* match, max_targets, target, watch of it */
};

struct config {
	struct config_section *sections;
	size_t count;
};

/* path: for complaints, which name the line. DHAT_EXIT_USAGE: something is wrong; *ret is empty. */
int config_parse(const char *text, const char *path, struct config *ret, struct dhat_error *err);
/* The same of a file. */
int config_read(const char *path, struct config *ret, struct dhat_error *err);
void config_deinit(struct config *config);
/* Do they say the same, line by line? */
bool config_is_same(const struct config_section *a, const struct config_section *b);
