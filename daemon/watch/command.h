#pragma once
/* command: what an administrator wants done when a trigger fires: a program of his, run beside
 * dhatd.
 *
 * No shell reads anything. What is told is in its environment, as text without control characters,
 * for names in it are a target's choice. It runs as who started dhatd (asker.h: through sudo, the
 * one behind it), in a session of its own, without dhatd's descriptors, and is ended with all that
 * it has started if it takes too long. What it leaves running when it ends sooner goes on: it was
 * meant so, and nobody here knows for how long.
 */
#include <stddef.h>

#include "proto/base/error.h"

struct commands; /* those that run, and those that wait for one of them to end */

#define COMMANDS_MAX 8		/* at a time */
#define COMMAND_SECONDS 60	/* each */
#define COMMANDS_WAITING 256	/* a trigger of the whole host fires for all processes at once */
#define COMMANDS_END_SECONDS 10 /* at dhatd's end for those that wait */

int commands_new(struct commands **ret);
/* Does not wait for them: they go on. What waits is not run. */
void commands_free(struct commands *commands);

/* line: a program and its arguments, separated by blanks. settings: "NAME=value", NULL-terminated,
 * to which PATH and the locale are added; cleaned here. Where COMMANDS_MAX are running it is run
 * later, in turn. -EAGAIN: COMMANDS_WAITING wait already. */
int commands_start(struct commands *commands, const char *line, char *const *settings,
		   struct dhat_error *err);
/* Once a second or so. told(): of one that has ended with failure, was ended, or could not be run.
 */
void commands_look_after(struct commands *commands, void (*told)(void *context, const char *text),
			 void *context);
/* Until none waits any more, or COMMANDS_END_SECONDS have passed: of those that wait still is told
 * how many. */
void commands_finish(struct commands *commands, void (*told)(void *context, const char *text),
		     void *context);
size_t commands_running(const struct commands *commands);
size_t commands_waiting(const struct commands *commands);
