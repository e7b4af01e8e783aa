#include "processes.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/proc/file.h"
#include "daemon/proc/status.h"
#include "kin.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

void processes_deinit(struct processes *processes)
{
	for (size_t i = 0; i < processes->count; i++)
		free(processes->entries[i].command);
	free(processes->entries);
	*processes = (struct processes){ 0 };
}

/* ---- a look -------------------------------------------------------------------------------- */

static int compare_pids(const void *a_, const void *b_)
{
	pid_t a = *(const pid_t *)a_, b = *(const pid_t *)b_;

	return a < b ? -1 : a > b;
}

/* false: nothing that has memory of its own. */
static bool look_at(pid_t pid, struct process_entry *ret)
{
	struct proc_status status;

	*ret = (struct process_entry){ .pid = pid, .start_ticks = proc_start_ticks(pid) };
	if (!ret->start_ticks || proc_status_read(pid, &status) ||
	    (!status.rss_bytes && !status.swap_bytes))
		return false;
	ret->uid = status.uid;
	ret->rss_bytes = status.rss_bytes;
	ret->anonymous_bytes = status.anonymous_bytes;
	ret->swap_bytes = status.swap_bytes;
	strcpy(ret->program, "?");
	strcpy(ret->allocator, "?");
	ret->container.runtime = "";
	return true;
}

static int look(struct processes *ret)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t count = 0, capacity = 0;
	int error = kin_all(&pids, &count);

	if (error)
		return error;
	qsort(pids, count, sizeof(*pids), compare_pids);
	for (size_t i = 0; i < count; i++) {
		struct process_entry entry;

		if (pids[i] == getpid() || !look_at(pids[i], &entry))
			continue;
		if (array_make_room(&ret->entries, &capacity, ret->count))
			return -ENOMEM;
		ret->entries[ret->count++] = entry;
	}
	return 0;
}

/* ---- two looks ----------------------------------------------------------------------------- */

static uint64_t kept_bytes(const struct process_entry *entry)
{
	return entry->anonymous_bytes + entry->swap_bytes;
}

static int compare(const void *a_, const void *b_)
{
	const struct process_entry *a = a_, *b = b_;

	if (a->grown_bytes != b->grown_bytes)
		return a->grown_bytes > b->grown_bytes ? -1 : 1;
	if (kept_bytes(a) != kept_bytes(b))
		return kept_bytes(a) > kept_bytes(b) ? -1 : 1;
	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

void processes_compare(const struct process_entry *before, size_t before_count,
		       struct processes *after)
{
	size_t at = 0, kept = 0;

	for (size_t i = 0; i < after->count; i++) {
		struct process_entry *entry = &after->entries[i];

		while (at < before_count && before[at].pid < entry->pid)
			at++;
		if (at == before_count || before[at].pid != entry->pid ||
		    before[at].start_ticks != entry->start_ticks)
			continue; /* a number that is used again is another process */
		entry->grown_bytes = (int64_t)(kept_bytes(entry) - kept_bytes(&before[at]));
		after->entries[kept++] = *entry;
	}
	after->began = after->count - kept;
	after->ended = before_count - kept;
	after->count = kept;
	if (kept)
		qsort(after->entries, kept, sizeof(*after->entries), compare);
}

/* Interrupted only to end. */
static void wait_for(uint64_t duration_ns)
{
	const struct timespec interval = { .tv_sec = (time_t)(duration_ns / 1000000000),
					   .tv_nsec = (long)(duration_ns % 1000000000) };

	nanosleep(&interval, NULL);
}

int processes_watch(uint64_t duration_ns, struct processes *ret, struct dhat_error *err)
{
	_cleanup_(processes_deinit) struct processes before = { 0 }, after = { 0 };
	uint64_t start_ns = clock_now_ns(CLOCK_MONOTONIC);
	int error = look(&before);

	if (error == 0) {
		wait_for(duration_ns);
		after.duration_ns = clock_now_ns(CLOCK_MONOTONIC) - start_ns;
		error = look(&after);
	}
	if (error)
		return dhat_error_errno(err, -error, "cannot look at the processes in /proc");
	processes_compare(before.entries, before.count, &after);
	*ret = after;
	after = (struct processes){ 0 };
	return 0;
}

/* ---- who they are -------------------------------------------------------------------------- */

/* How the names of their files begin; the C libraries, of which others come first, at the end. */
static const struct {
	const char *begins, *name;
	bool is_c_library;
} files[] = {
	{ "libjemalloc", "jemalloc", false },
	{ "libmimalloc", "mimalloc", false },
	{ "libtcmalloc", "tcmalloc", false },
	{ "librpmalloc", "rpmalloc", false },
	{ "libsnmalloc", "snmalloc", false },
	{ "libscudo", "scudo", false },
	{ "libclang_rt.scudo", "scudo", false },
	{ "libasan.", "AddressSanitizer", false },
	{ "libclang_rt.asan", "AddressSanitizer", false },
	{ "libc.so.6", "glibc", true },
	{ "libc-2.", "glibc", true },
	{ "ld-musl-", "musl", true },
	{ "libc.musl-", "musl", true },
};

static bool is_mapped(const struct procmaps *maps, const char *begins)
{
	for (size_t i = 0; i < maps->count; i++) {
		const char *slash = strrchr(maps->entries[i].path, '/');

		if (slash && !strncmp(slash + 1, begins, strlen(begins)))
			return true;
	}
	return false;
}

void processes_allocator(const struct procmaps *maps, char ret[PROCESS_ALLOCATOR_CHARS])
{
	size_t used = 0;

	*ret = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if ((files[i].is_c_library && used) || strstr(ret, files[i].name) ||
		    !is_mapped(maps, files[i].begins))
			continue;
		used += snprintf(ret + used, PROCESS_ALLOCATOR_CHARS - used, "%s%s",
				 used ? ", " : "", files[i].name);
		if (used >= PROCESS_ALLOCATOR_CHARS)
			break;
	}
	if (!used)
		strcpy(ret, "?");
}

static int read_command(struct process_entry *entry)
{
	char executable[PATH_MAX] = "";
	_cleanup_free_ char *text = NULL, *comm = NULL;
	size_t size = 0;

	if (proc_read(entry->pid, "cmdline", &text, &size) == 0) {
		for (size_t i = 0; i + 1 < size; i++)
			if (text[i] == '\0')
				text[i] = ' ';
		while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\0'))
			text[--size] = '\0';
	}
	if (proc_read_link(entry->pid, "exe", executable, sizeof(executable)))
		*executable = '\0';
	if (!size && proc_read_main(entry->pid, "comm", &comm, NULL) == 0)
		comm[strcspn(comm, "\n")] = '\0';
	entry->command = strdup(size ? text : comm ?: "");
	if (!entry->command)
		return -ENOMEM;
	dhat_program_name(entry->command, executable, entry->program);
	return 0;
}

int processes_describe(struct processes *processes, size_t count)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < count && i < processes->count; i++) {
		struct process_entry *entry = &processes->entries[i];
		struct procmaps maps = { 0 };
		int r = procmaps_read(entry->pid, &maps);

		entry->is_hidden = r == -EACCES || r == -EPERM;
		if (r == 0)
			processes_allocator(&maps, entry->allocator);
		procmaps_deinit(&maps);
		container_of(entry->pid, &entry->container);
		error = read_command(entry);
	}
	return error;
}
