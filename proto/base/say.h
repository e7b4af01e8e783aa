#pragma once
/* say: a line on stderr, for a person at a terminal or for a log.
 *
 * The one way there. Names, paths and command lines in it may be a target's choice, as may what an
 * error quotes: the line is cleaned (text.h), so that no target can give the terminal orders, or
 * forge lines of ours.
 */
#include <stdbool.h>

/* As syslog(3) numbers them. */
enum dhat_level {
	DHAT_LEVEL_ERROR = 3,	/* something that was asked for is not so */
	DHAT_LEVEL_WARNING = 4, /* what somebody should look at: a trigger, a loss */
	DHAT_LEVEL_NOTICE = 5,
	DHAT_LEVEL_INFO = 6,
};

/* From now on each line begins with its level, as systemd's journal reads it ("<3>"). */
void dhat_say_levels(bool are_said);

/* From now on each line has date and time before its text, but for those that are indented, which
 * belong to the line before. */
void dhat_say_times(bool are_said);

/* "PROGRAM: " is put before the text; a new line behind it, and nowhere else. Written whole. */
void dhat_say(const char *program, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same at another level than DHAT_LEVEL_INFO. */
void dhat_say_at(enum dhat_level level, const char *program, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A line that passes: the next one takes its place, on a terminal, where the cursor stays behind
 * it; cleaned as the others are. NULL: it goes. */
void dhat_say_passing(const char *text);
