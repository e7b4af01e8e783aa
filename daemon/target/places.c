/* Our breakpoints in the target's code: are they where we put them? */
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/kernel/uprobe.h"
#include "daemon/proc/code.h"
#include "daemon/proc/file.h"
#include "daemon/proc/procmaps.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/texts.h"
#include "ptracer.h"

DEFINE_CLEANUP_PTR(struct code *, code_close)

int target_remember_places(struct target *target, uint32_t object, const struct uprobe_site *sites,
			   size_t count)
{
	int error = 0;

	target_lock(target);
	for (size_t i = 0; i < count && error == 0; i++) {
		union dhat_cookie_word word = { .word = sites[i].cookie };
		struct target_place place = {
			.object = object,
			.probe = word.parts.site,
			.file_offset = sites[i].file_offset,
		};

		if (code_read_pattern(objects_at(&target->objects, object)->fd, place.file_offset,
				      &place.pattern))
			continue;
		error = array_make_room(&target->places, &target->place_capacity,
					target->place_count);
		if (error == 0)
			target->places[target->place_count++] = place;
	}
	target_unlock(target);
	return error;
}

void target_forget_places(struct target *target)
{
	free(target->places);
	target->places = NULL;
	target->place_count = target->place_capacity = 0;
}

bool target_is_patched(struct target *target, uint32_t object, uint64_t file_offset)
{
	_cleanup_(code_close_ptr) struct code *code = NULL;
	struct code_pattern pattern;
	bool is_patched = false;
	struct mapping mapping;
	size_t position = 0;
	uint64_t addr;

	if (code_read_pattern(objects_at(&target->objects, object)->fd, file_offset, &pattern) ||
	    code_open(target->pid, &code))
		return false;
	while (!is_patched && objects_next_place(&target->objects, object, file_offset, &position,
						 &mapping, &addr))
		is_patched = code_look(code, addr, &pattern) == CODE_PATCHED;
	return is_patched;
}

/* ---- looking --------------------------------------------------------------------------------- */

struct look { /* at one place where it is mapped */
	struct target_place place;
	size_t index;
	struct mapping mapping;
	uint64_t addr, inode;
	enum code_state state;
};

static size_t list_looks(struct target *target, bool missing_only, struct look **ret)
{
	struct look *looks = NULL;
	size_t count = 0, capacity = 0;

	target_lock(target);
	for (size_t i = 0; i < target->place_count; i++) {
		const struct target_place *place = &target->places[i];
		struct mapping at;
		size_t position = 0;
		uint64_t addr;

		if (missing_only != place->is_missing)
			continue;
		while (objects_next_place(&target->objects, place->object, place->file_offset,
					  &position, &at, &addr)) {
			if (array_make_room(&looks, &capacity, count))
				break;
			looks[count++] = (struct look){
				.place = *place,
				.index = i,
				.mapping = at,
				.addr = addr,
				.inode = mappings_object(target->mappings, at.object)->inode,
			};
		}
	}
	target_unlock(target);
	*ret = looks;
	return count;
}

/* Is a mapping with places of ours not there any more? Unmapped, or replaced by a copy. */
static bool is_any_unmapped(const struct code *code, const struct look *looks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct mapping *at = &looks[i].mapping;

		if ((i == 0 || at->start != looks[i - 1].mapping.start) &&
		    !code_is_mapped(code, at->start, at->end))
			return true;
	}
	return false;
}

/* Drop those that are as they should be; how many are left. */
static size_t keep_odd(const struct code *code, struct look *looks, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		looks[i].state = code_look(code, looks[i].addr, &looks[i].place.pattern);
		if (looks[i].state == CODE_AS_FILE || looks[i].state == CODE_PATCHED)
			looks[kept++] = looks[i];
	}
	return kept;
}

/* Is the file still mapped there? What was unmapped has no probes to miss. */
static bool is_mapped_still(const struct look *look, const struct procmaps *maps)
{
	for (size_t i = 0; i < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];

		if (look->addr >= entry->start && look->addr < entry->end)
			return entry->is_executable && entry->inode == look->inode &&
			       entry->file_offset + (look->addr - entry->start) ==
				       look->place.file_offset;
	}
	return false;
}

static void format_time(uint64_t unix_ns, char *ret, size_t size)
{
	time_t seconds = unix_ns / 1000000000;
	struct tm broken;

	localtime_r(&seconds, &broken);
	strftime(ret, size, "%H:%M:%S", &broken);
}

/* With `lock`. */
static void name_place(struct target *target, const struct target_place *place, char *ret,
		       size_t size)
{
	char file[128];

	objects_name(&target->objects, place->object, file, sizeof(file));
	snprintf(ret, size, "%s (%s+0x%llx)",
		 place->probe < target->probe_count ? target->probes[place->probe].function
						    : "a function",
		 file, (unsigned long long)place->file_offset);
}

/* With `lock`. */
static void say_missing(struct target *target, const struct look *look, uint64_t now_unix_ns)
{
	char name[192], now[16], before[16], text[512];

	name_place(target, &look->place, name, sizeof(name));
	format_time(now_unix_ns, now, sizeof(now));
	format_time(target->places_seen_unix_ns, before, sizeof(before));
	snprintf(text, sizeof(text),
		 "the probe on %s was gone at %s; it was there at %s. %s: calls since then are "
		 "missing",
		 name, now, before,
		 look->state == CODE_PATCHED
			 ? "Its code was changed meanwhile (a library that hooks functions does "
			   "so), "
			   "and it is not put back"
			 : "A debugger wrote over it, or the process gave its page back (madvise)");
	texts_add_once(&target->notes, text);
}

bool target_check_places(struct target *target)
{
	_cleanup_(code_close_ptr) struct code *code = NULL;
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	_cleanup_free_ struct look *looks = NULL;
	uint64_t now = clock_now_ns(CLOCK_REALTIME);
	bool is_any_missing = false, can_be_mended = false, is_moved;
	size_t count;

	if (target_state_of(target) != TARGET_ATTACHED || target->is_ending || !target->is_observed)
		return false;
	count = list_looks(target, false, &looks);
	if (code_open(target->pid, &code))
		return false;
	is_moved = is_any_unmapped(code, looks, count);
	count = keep_odd(code, looks, count);
	if (count > 0 && procmaps_read(target->pid, &maps) == 0)
		count = keep_odd(code, looks, count); /* of the same mappings as maps has */
	target_lock(target);
	for (size_t i = 0; i < count && target->state == TARGET_ATTACHED && !target->is_ending;
	     i++) {
		struct target_place *place = &target->places[looks[i].index];

		if (place->is_missing || !is_mapped_still(&looks[i], &maps))
			continue;
		place->is_missing = true;
		place->is_patched = looks[i].state == CODE_PATCHED;
		target->taken_probes++;
		say_missing(target, &looks[i], now);
	}
	for (size_t i = 0; i < target->place_count; i++) {
		is_any_missing |= target->places[i].is_missing;
		can_be_mended |= target->places[i].is_missing && !target->places[i].is_patched;
	}
	if (!is_any_missing)
		target->places_seen_unix_ns = now;
	target_unlock(target);
	return can_be_mended || is_moved;
}

/* ---- putting back ---------------------------------------------------------------------------- */

static void restore(struct target *target, const struct code *code, const struct look *look)
{
	char path[64], name[192], now[16], text[320];
	pid_t tid;

	if (code_look(code, look->addr, &look->place.pattern) != CODE_AS_FILE)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d",
		 objects_at(&target->objects, look->place.object)->fd);
	if (proc_living_thread(target->pid, &tid) ||
	    uprobe_settle(tid, path, look->place.file_offset) ||
	    code_look(code, look->addr, &look->place.pattern) != CODE_TRAPPED)
		return;
	format_time(clock_now_ns(CLOCK_REALTIME), now, sizeof(now));
	target_lock(target);
	target->places[look->index].is_missing = false;
	name_place(target, &look->place, name, sizeof(name));
	snprintf(text, sizeof(text), "the probe on %s was put back at %s", name, now);
	texts_add_once(&target->notes, text);
	target_unlock(target);
}

void target_restore_places(struct target *target)
{
	_cleanup_(code_close_ptr) struct code *code = NULL;
	_cleanup_free_ struct look *looks = NULL;
	struct ptracer tracer = { 0 };
	size_t count = list_looks(target, true, &looks);

	/* a debugger that is there may have saved what is there now, and write it back */
	if (count == 0 || target_is_debugged(target, &tracer) || code_open(target->pid, &code))
		return;
	for (size_t i = 0; i < count; i++)
		restore(target, code, &looks[i]);
}

/* ---- debuggers ------------------------------------------------------------------------------- */

bool target_is_debugged(struct target *target, struct ptracer *ret)
{
	struct ptracer tracer;

	if (target_state_of(target) != TARGET_ATTACHED || target->is_ending ||
	    ptracer_find(target->pid, &tracer) || tracer.pid == 0 || !tracer.sets_breakpoints)
		return false;
	*ret = tracer;
	return true;
}
