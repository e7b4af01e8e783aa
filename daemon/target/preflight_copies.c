/* Does the process copy its own code to other memory, or has it? */
#include "preflight.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "daemon/proc/file.h"
#include "daemon/proc/status.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

/* What is done at the start of a program is done by then. */
#define YOUNG_NS 5000000000ull

static bool is_young(pid_t pid)
{
	uint64_t began_ns = proc_start_ticks(pid) * (1000000000 / sysconf(_SC_CLK_TCK));

	return clock_now_ns(CLOCK_BOOTTIME) < began_ns + YOUNG_NS;
}

/* libhugetlbfs(7): a program that it is linked to, or preloaded into, has its segments moved. */
static bool has_elfmap(pid_t pid)
{
	_cleanup_free_ char *value = NULL;

	return proc_setting(pid, "HUGETLB_ELFMAP=", &value) == 0 && *value && strcmp(value, "no");
}

int preflight_copier(struct preflight *preflight, const struct object_desc *desc, const char *path,
		     pid_t pid, bool from_start)
{
	const char *by = desc->copier ? desc->copier_name : "HUGETLB_ELFMAP";
	enum copier copier = desc->copier;

	if (copier == COPIER_NONE && desc->is_program && has_elfmap(pid))
		copier = COPIER_DOES;
	if (copier == COPIER_NONE)
		return 0;
	if (copier == COPIER_DOES && (from_start || is_young(pid)))
		return preflight_block(preflight, "copies its code", ENOTSUP, DHAT_EXIT_UNSUITABLE,
				       "%s copies its own code at its start (%s): made while it is "
				       "probed, the copy would have the breakpoints, and the "
				       "process would die of them; let it start alone, and attach "
				       "by --pid after %llu s",
				       path, by, YOUNG_NS / 1000000000);
	if (copier == COPIER_DOES)
		return 0; /* it has done so */
	return preflight_add(preflight, "copies its code",
			     "%s can copy its own code to other memory (%s): if it does so while "
			     "it is watched, the copy has breakpoints, and the process may die of "
			     "them: LIMITS in dhatd(8)",
			     path, by);
}

#define MAX_PARTS 64 /* of a copy, on either side: what is more is none */

/* The mapping of the same file behind, as far away as in the file, if there is nothing but code in
 * between. */
static bool is_between(const struct procmaps *maps, size_t before, size_t i)
{
	const struct procmaps_entry *list = maps->entries, *from = &list[before];

	for (size_t at = i + 1; at < maps->count && at - i <= MAX_PARTS; at++) {
		if (list[at].start != list[at - 1].end)
			return false;
		if (procmaps_is_same_file(from, &list[at]))
			return list[at].file_offset - from->file_offset ==
			       list[at].start - from->start;
		if (!list[at].is_executable)
			return false;
	}
	return false;
}

const struct procmaps_entry *preflight_copied_from(const struct procmaps *maps, size_t i)
{
	const struct procmaps_entry *list = maps->entries;

	if (!list[i].is_executable)
		return NULL;
	for (size_t at = i; at > 0 && i - at < MAX_PARTS; at--) {
		if (list[at - 1].end != list[at].start)
			return NULL;
		if (list[at - 1].inode && !procmaps_is_same_file(&list[at - 1], &list[i]) &&
		    is_between(maps, at - 1, i))
			return &list[at - 1];
		if (!list[at - 1].is_executable)
			return NULL;
	}
	return NULL;
}

int preflight_copied(struct preflight *preflight, const struct procmaps *maps)
{
	for (size_t i = 0; i < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i],
					    *from = preflight_copied_from(maps, i);

		if (!from)
			continue;
		return preflight_add(preflight, "copied code",
				     "%" PRIu64 " KiB of %s are a copy in memory of no file: "
				     "functions there cannot be probed, and frames there have no "
				     "names",
				     (entry->end - entry->start) / 1024, from->path);
	}
	return 0;
}
