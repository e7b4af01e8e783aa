#pragma once
/* reason: why a profile is to be kept.
 *
 * Pure. What has happened is news: it has a line, and a command. That it was time (SPOOL_EVERY) is
 * none, nor is an end that somebody wanted (SPOOL_STOP).
 */
#include <stdbool.h>

/* Of several at a time the first gives the file its name; news takes the place of what is none.
 * Zeroed at first. */
struct keep_reason {
	const char *word; /* static; NULL: there is none, nothing is kept */
	char text[256];	  /* "rss>2GiB; exit" */
	bool is_push;	  /* it is to be pushed; so is all news */
};

void keep_reason_add(struct keep_reason *reason, const char *word, const char *text);
bool keep_reason_is_news(const struct keep_reason *reason);
