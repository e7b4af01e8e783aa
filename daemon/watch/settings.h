#pragma once
/* settings: what is to be done about the targets of one watch: the command line's, or a section's.
 */
#include "daemon/push/settings.h"
#include "overhead.h"
#include "trigger.h"

struct watch_settings {
	struct trigger *triggers; /* owned, as are the texts */
	size_t trigger_count;
	char *command;	   /* NULL: none is run; see command.h */
	uint64_t every_ns; /* 0: profiles are kept for a reason only */
	uint32_t keep;	   /* files of a program, see spool.h; 0: WATCH_KEEP */
	struct overhead_bound max_overhead;
	struct push_settings push;
};
#define WATCH_KEEP 24
#define WATCH_TRIGGERS_MAX 32

/* Is there anything to be written? */
static inline bool watch_keeps(const struct watch_settings *settings)
{
	return settings->trigger_count || settings->every_ns || settings->push.url;
}
/* Once all is given: see push_settings_settle(). */
int watch_settle(struct watch_settings *settings, struct dhat_error *err);
/* -E2BIG: beyond WATCH_TRIGGERS_MAX. */
int watch_add_trigger(struct watch_settings *settings, const struct trigger *trigger);
int watch_copy(const struct watch_settings *settings, struct watch_settings *ret);
void watch_deinit(struct watch_settings *settings);
