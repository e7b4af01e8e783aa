#pragma once
/* keeper: a target's profile is kept as a file, told of in a line, and pushed; a command is run.
 *
 * For one thread. What fails is said, and nothing else comes of it.
 */
#include "daemon/lookup/symbolizer.h"
#include "daemon/push/pusher.h"
#include "daemon/push/since.h"
#include "daemon/target/target.h"
#include "reason.h"
#include "settings.h"

struct keeper;

struct keeper_options { /* borrowed */
	struct symbolizer *symbolizer;
	struct holds_book *book;
	struct pusher *pusher;
	const char *folder; /* made when the first profile is kept */
};

int keeper_new(const struct keeper_options *options, struct keeper **ret);
/* Commands that run go on. NULL is fine. */
void keeper_free(struct keeper *keeper);

/* If it is SPOOL_EVERY alone there is no line and no command; of SPOOL_STOP a line that is no
 * warning, and none of its files goes for the next one's sake. target_set_kept() where it is true.
 * rss_bytes 0: not known. *since: of the target's profile that was pushed last; NULL at
 * first; since NULL is fine where nothing is pushed. */
void keeper_keep(struct keeper *keeper, const struct watch_settings *settings,
		 struct target *target, uint64_t rss_bytes, const struct keep_reason *reason,
		 struct since **since);
/* Once a second or so: after commands. */
void keeper_look_after(struct keeper *keeper);
/* At the end: commands that wait for others are run, within a bound (command.h). */
void keeper_finish(struct keeper *keeper);
