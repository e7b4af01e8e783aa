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

static bool is_between(const struct procmaps_entry *before, const struct procmaps_entry *entry,
		       const struct procmaps_entry *behind)
{
	return before->inode && procmaps_is_same_file(before, behind) &&
	       before->end == entry->start && entry->end == behind->start &&
	       behind->file_offset - before->file_offset == behind->start - before->start;
}

bool preflight_is_copy(const struct procmaps *maps, size_t i)
{
	const struct procmaps_entry *entry = &maps->entries[i];

	return i > 0 && i + 1 < maps->count && entry->is_executable && !entry->inode &&
	       !entry->path[0] && is_between(entry - 1, entry, entry + 1);
}

int preflight_copied(struct preflight *preflight, const struct procmaps *maps)
{
	for (size_t i = 1; i + 1 < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];

		if (!preflight_is_copy(maps, i))
			continue;
		return preflight_add(preflight, "copied code",
				     "%" PRIu64 " KiB of %s are a copy in memory of no file: "
				     "functions there cannot be probed, and frames there have no "
				     "names",
				     (entry->end - entry->start) / 1024, entry[-1].path);
	}
	return 0;
}
