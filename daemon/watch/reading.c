#include "reading.h"

#include "daemon/proc/cgroup_memory.h"
#include "daemon/proc/file.h"
#include "proto/base/cleanup.h"

static void set(struct trigger_reading *reading, enum trigger_kind kind, bool is_known,
		uint64_t value)
{
	reading->is_known[kind] = is_known;
	reading->value[kind] = value;
}

static bool is_wanted(const struct watch_settings *settings, enum trigger_kind first,
		      enum trigger_kind second, enum trigger_kind third)
{
	for (size_t i = 0; i < settings->trigger_count; i++)
		if (settings->triggers[i].kind == first || settings->triggers[i].kind == second ||
		    settings->triggers[i].kind == third)
			return true;
	return false;
}

static void read_group(pid_t pid, struct cgroup_view *view, struct trigger_reading *reading)
{
	_cleanup_free_ char *groups = NULL;
	struct cgroup_memory memory;

	if (proc_read_main(pid, "cgroup", &groups, NULL))
		return;
	cgroup_memory_read(groups, view, &memory);
	reading->is_group_out_of_sight = memory.is_out_of_sight;
	set(reading, TRIGGER_HIGH, memory.has_high, memory.high);
	set(reading, TRIGGER_MAX, memory.has_max, memory.max);
	set(reading, TRIGGER_CGROUP_PSI, memory.has_pressure, memory.pressure);
}

bool reading_is_of_host(enum trigger_kind kind)
{
	return kind == TRIGGER_PSI || kind == TRIGGER_HIGH || kind == TRIGGER_MAX ||
	       kind == TRIGGER_CGROUP_PSI;
}

void reading_take(const struct watch_settings *settings, struct target *target,
		  const struct target_glance *glance, struct cgroup_view *view,
		  struct trigger_reading *ret)
{
	bool is_there = glance->state == TARGET_ATTACHED;
	uint64_t pressure = 0;

	*ret = (struct trigger_reading){ 0 };
	set(ret, TRIGGER_RSS, glance->rss_bytes > 0, glance->rss_bytes);
	set(ret, TRIGGER_LIVE, is_there, glance->live_bytes);
	/* what was there before is no growth, neither when it becomes known nor when what replaces
	 * it is all that is known */
	set(ret, TRIGGER_GROWTH, is_there && !glance->is_listing,
	    glance->live_bytes - glance->freed_before_bytes);
	set(ret, TRIGGER_FAILED, true, glance->failed);
	set(ret, TRIGGER_OVERHEAD, is_there, glance->cost_hundredths);
	set(ret, TRIGGER_EXIT, true, !is_there);
	/* the mark comes a moment before the end, of which the profile is to tell */
	set(ret, TRIGGER_OOM, true, !is_there && glance->is_out_of_memory);
	if (is_there && is_wanted(settings, TRIGGER_HIGH, TRIGGER_MAX, TRIGGER_CGROUP_PSI))
		read_group(target_pid(target), view, ret);
	if (is_wanted(settings, TRIGGER_PSI, TRIGGER_PSI, TRIGGER_PSI)) {
		bool is_known = pressure_read(&pressure) == 0; /* before it is an argument */

		set(ret, TRIGGER_PSI, is_known, pressure);
	}
}
