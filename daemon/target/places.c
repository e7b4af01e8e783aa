#include "places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/kernel/uprobe.h"
#include "daemon/proc/file.h"
#include "daemon/proc/procmaps.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

DEFINE_CLEANUP_PTR(struct code *, code_close)

/* ---- the list -------------------------------------------------------------------------------- */

void places_init(struct places *places)
{
	*places = (struct places){ 0 };
	pthread_mutex_init(&places->lock, NULL);
}

void places_clear(struct places *places)
{
	pthread_mutex_lock(&places->lock);
	for (size_t i = 0; i < places->count; i++)
		free(places->list[i].name);
	free(places->list);
	places->list = NULL;
	places->count = places->capacity = 0;
	pthread_mutex_unlock(&places->lock);
}

void places_deinit(struct places *places)
{
	places_clear(places);
	pthread_mutex_destroy(&places->lock);
}

int places_add(struct places *places, uint32_t object, int fd, uint64_t file_offset,
	       const char *name)
{
	struct place place = { .object = object, .file_offset = file_offset };
	int error;

	if (code_read_pattern(fd, file_offset, &place.pattern))
		return 0;
	place.name = strdup(name);
	if (!place.name)
		return -ENOMEM;
	pthread_mutex_lock(&places->lock);
	error = array_make_room(&places->list, &places->capacity, places->count);
	if (error == 0)
		places->list[places->count++] = place;
	pthread_mutex_unlock(&places->lock);
	if (error)
		free(place.name);
	return error;
}

void places_set_seen(struct places *places, uint64_t unix_ns)
{
	pthread_mutex_lock(&places->lock);
	places->seen_unix_ns = unix_ns;
	pthread_mutex_unlock(&places->lock);
}

uint32_t places_taken(struct places *places)
{
	uint32_t taken;

	pthread_mutex_lock(&places->lock);
	taken = places->taken;
	pthread_mutex_unlock(&places->lock);
	return taken;
}

int places_patterns(struct places *places, struct code_pattern **ret, size_t *ret_count)
{
	struct code_pattern *patterns;

	pthread_mutex_lock(&places->lock);
	patterns = calloc(places->count + 1, sizeof(*patterns));
	for (size_t i = 0; patterns && i < places->count; i++)
		patterns[i] = places->list[i].pattern;
	*ret_count = places->count;
	pthread_mutex_unlock(&places->lock);
	*ret = patterns;
	return patterns ? 0 : -ENOMEM;
}

void places_name(struct places *places, size_t i, char *ret, size_t size)
{
	pthread_mutex_lock(&places->lock);
	snprintf(ret, size, "%s", i < places->count ? places->list[i].name : "?");
	pthread_mutex_unlock(&places->lock);
}

bool places_is_patched(const struct places_owner *owner, uint32_t object, uint64_t file_offset)
{
	_cleanup_(code_close_ptr) struct code *code = NULL;
	struct code_pattern pattern;
	bool is_patched = false;
	struct mapping mapping;
	size_t position = 0;
	uint64_t addr;

	if (code_read_pattern(objects_at(owner->objects, object)->fd, file_offset, &pattern) ||
	    code_open(owner->pid, &code))
		return false;
	while (!is_patched &&
	       objects_next_place(owner->objects, object, file_offset, &position, &mapping, &addr))
		is_patched = code_look(code, addr, &pattern) == CODE_PATCHED;
	return is_patched;
}

/* ---- looking --------------------------------------------------------------------------------- */

struct look { /* at one place where it is mapped */
	size_t index;
	uint32_t object;
	uint64_t file_offset;
	struct code_pattern pattern;
	struct mapping mapping;
	uint64_t addr, inode;
	enum code_state state;
};

static size_t list_looks(struct places *places, const struct places_owner *owner, bool missing_only,
			 struct look **ret)
{
	struct look *looks = NULL;
	size_t count = 0, capacity = 0;

	pthread_mutex_lock(&places->lock);
	for (size_t i = 0; i < places->count; i++) {
		const struct place *place = &places->list[i];
		struct look look = {
			.index = i,
			.object = place->object,
			.file_offset = place->file_offset,
			.pattern = place->pattern,
			.inode = objects_inode(owner->objects, place->object),
		};
		size_t position = 0;

		if (missing_only != place->is_missing)
			continue;
		while (objects_next_place(owner->objects, place->object, place->file_offset,
					  &position, &look.mapping, &look.addr)) {
			if (array_make_room(&looks, &capacity, count))
				break;
			looks[count++] = look;
		}
	}
	pthread_mutex_unlock(&places->lock);
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
		looks[i].state = code_look(code, looks[i].addr, &looks[i].pattern);
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
				       look->file_offset;
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

/* "malloc (libc.so.6+0x1234)" */
static void describe(struct places *places, const struct places_owner *owner,
		     const struct look *look, char *ret, size_t size)
{
	char name[128], file[128];

	places_name(places, look->index, name, sizeof(name));
	objects_name(owner->objects, look->object, file, sizeof(file));
	snprintf(ret, size, "%s (%s+0x%llx)", name, file, (unsigned long long)look->file_offset);
}

static void say_missing(struct places *places, const struct places_owner *owner,
			const struct look *look, uint64_t now_unix_ns, uint64_t seen_unix_ns)
{
	char name[320], now[16], before[16], text[640];

	describe(places, owner, look, name, sizeof(name));
	format_time(now_unix_ns, now, sizeof(now));
	format_time(seen_unix_ns, before, sizeof(before));
	snprintf(text, sizeof(text),
		 "the probe on %s was gone at %s; it was there at %s. %s: calls since then are "
		 "missing",
		 name, now, before,
		 look->state == CODE_PATCHED
			 ? "Its code was changed meanwhile (a library that hooks functions does "
			   "so), and it is not put back"
			 : "A debugger wrote over it, or the process gave its page back (madvise)");
	owner->say(owner->context, text);
}

/* False: somebody else has found it. *ret_seen_unix_ns: when all were there. */
static bool mark_missing(struct places *places, const struct look *look, uint64_t *ret_seen_unix_ns)
{
	struct place *place;
	bool is_new;

	pthread_mutex_lock(&places->lock);
	place = &places->list[look->index];
	is_new = !place->is_missing;
	if (is_new) {
		place->is_missing = true;
		place->is_patched = look->state == CODE_PATCHED;
		places->taken++;
	}
	*ret_seen_unix_ns = places->seen_unix_ns;
	pthread_mutex_unlock(&places->lock);
	return is_new;
}

/* Can any that is missing be put back? If none is missing, all were seen now. */
static bool can_mend(struct places *places, uint64_t now_unix_ns)
{
	bool is_any_missing = false, can_be_mended = false;

	pthread_mutex_lock(&places->lock);
	for (size_t i = 0; i < places->count; i++) {
		is_any_missing |= places->list[i].is_missing;
		can_be_mended |= places->list[i].is_missing && !places->list[i].is_patched;
	}
	if (!is_any_missing)
		places->seen_unix_ns = now_unix_ns;
	pthread_mutex_unlock(&places->lock);
	return can_be_mended;
}

bool places_check(struct places *places, const struct places_owner *owner)
{
	_cleanup_(code_close_ptr) struct code *code = NULL;
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	_cleanup_free_ struct look *looks = NULL;
	uint64_t now = clock_now_ns(CLOCK_REALTIME), seen;
	bool is_moved;
	size_t count;

	if (owner->is_over(owner->context))
		return false;
	count = list_looks(places, owner, false, &looks);
	if (code_open(owner->pid, &code))
		return false;
	is_moved = is_any_unmapped(code, looks, count);
	count = keep_odd(code, looks, count);
	if (count > 0 && procmaps_read(owner->pid, &maps) == 0)
		count = keep_odd(code, looks, count); /* of the same mappings as maps has */
	/* after the look: what it has seen is from before the end, then */
	for (size_t i = 0; i < count && !owner->is_over(owner->context); i++)
		if (is_mapped_still(&looks[i], &maps) && mark_missing(places, &looks[i], &seen))
			say_missing(places, owner, &looks[i], now, seen);
	return can_mend(places, now) || is_moved;
}

/* ---- putting back ---------------------------------------------------------------------------- */

static void restore(struct places *places, const struct places_owner *owner,
		    const struct code *code, const struct look *look)
{
	char path[64], name[320], now[16], text[400];
	pid_t tid;

	if (code_look(code, look->addr, &look->pattern) != CODE_AS_FILE)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d",
		 objects_at(owner->objects, look->object)->fd);
	if (proc_living_thread(owner->pid, &tid) || uprobe_settle(tid, path, look->file_offset) ||
	    code_look(code, look->addr, &look->pattern) != CODE_TRAPPED)
		return;
	format_time(clock_now_ns(CLOCK_REALTIME), now, sizeof(now));
	pthread_mutex_lock(&places->lock);
	places->list[look->index].is_missing = false;
	pthread_mutex_unlock(&places->lock);
	describe(places, owner, look, name, sizeof(name));
	snprintf(text, sizeof(text), "the probe on %s was put back at %s", name, now);
	owner->say(owner->context, text);
}

void places_restore(struct places *places, const struct places_owner *owner)
{
	_cleanup_(code_close_ptr) struct code *code = NULL;
	_cleanup_free_ struct look *looks = NULL;
	size_t count = list_looks(places, owner, true, &looks);

	if (count == 0 || code_open(owner->pid, &code))
		return;
	for (size_t i = 0; i < count; i++)
		restore(places, owner, code, &looks[i]);
}
