#pragma once
/* reading: what a watch sees of a target at one time, for its triggers. */
#include "daemon/proc/cgroup_view.h"
#include "daemon/target/target.h"
#include "settings.h"
#include "trigger_state.h"

/* Does it depend on files that not every host has (control groups of version 2, PSI)? */
bool reading_is_of_host(enum trigger_kind kind);

/* Files of its control group and of the machine are read only if a trigger is about them. What
 * cannot be read is not known. */
void reading_take(const struct watch_settings *settings, struct target *target,
		  const struct target_glance *glance, struct cgroup_view *view,
		  struct trigger_reading *ret);
