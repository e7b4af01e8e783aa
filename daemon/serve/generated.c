#include "generated.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/lookup/owned.h"
#include "daemon/proc/file.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#define SECOND_NS 1000000000ull
/* Clocks of different ticks, and a file that was begun in the same moment as the process. */
#define SLACK_NS (2 * SECOND_NS)

void generated_deinit(struct generated *generated)
{
	names_free(generated->by_map);
	names_free(generated->by_dump);
	*generated = (struct generated){ 0 };
}

static uint64_t started_unix_ns(const struct target_identity *identity)
{
	uint64_t booted = clock_now_ns(CLOCK_REALTIME) - clock_now_ns(CLOCK_BOOTTIME);

	return booted + identity->start_ticks * (SECOND_NS / sysconf(_SC_CLK_TCK));
}

/* Numbers of processes come again, and others may put files there. */
static bool is_of(int fd, const struct target_identity *identity)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == identity->uid &&
	       st.st_mtim.tv_sec * SECOND_NS + st.st_mtim.tv_nsec + SLACK_NS >=
		       started_unix_ns(identity);
}

static pid_t own_number(const struct target_identity *identity)
{
	return identity->ns_pid_count ? identity->ns_pids[identity->ns_pid_count - 1]
				      : identity->pid;
}

/* A process that has ended has no root any more. What we see under its number is its own, if that
 * is its number here. */
static int open_map(const struct target_identity *identity, int root_fd)
{
	_cleanup_close_ int here = -1, fd = -1;
	char path[64];

	if (root_fd < 0 && identity->ns_pid_count <= 1)
		root_fd = here = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", own_number(identity));
	fd = owned_open(root_fd, path, identity->uid, O_NOFOLLOW);
	return fd >= 0 && is_of(fd, identity) ? take_fd(fd) : -1;
}

/* The descriptor stays the copy's; -1: it maps none. */
static int find_dump(const struct target_copy *copy)
{
	char name[64];

	snprintf(name, sizeof(name), "/jit-%d.dump", own_number(&copy->identity));
	for (uint32_t i = 0; i < copy->object_count; i++) {
		const struct target_object *object = &copy->objects[i];
		const char *slash = strrchr(object->path, '/');

		if (slash && object->fd >= 0 && !strncmp(slash, name, strlen(name)) &&
		    is_of(object->fd, &copy->identity))
			return object->fd;
	}
	return -1;
}

/* In a time namespace of its own its CLOCK_MONOTONIC is another (time_namespaces(7)). Of one that
 * has ended it is not known any more, nor likely. */
static bool has_our_clock(pid_t pid)
{
	char ours[64] = "", its[64] = "";

	proc_read_link(getpid(), "ns/time", ours, sizeof(ours));
	proc_read_link(pid, "ns/time", its, sizeof(its));
	return !*its || !strcmp(ours, its);
}

static bool has_name(const struct names *names, uint32_t place)
{
	return names && names->frames[place].location_count;
}

const struct names *generated_of(const struct generated *generated, uint32_t place)
{
	if (has_name(generated->by_dump, place))
		return generated->by_dump;
	return has_name(generated->by_map, place) ? generated->by_map : NULL;
}

static void ask(struct symbolizer *symbolizer, int fd, const char *what,
		const struct jit_query *queries, uint32_t count, struct names **ret, char *note,
		size_t size)
{
	struct dhat_error err = { 0 };

	if (fd >= 0 && symbolizer_name_generated(symbolizer, fd, queries, count, ret, &err))
		snprintf(note, size, "the names in its %s could not be had: %.200s", what,
			 err.message);
}

int generated_name(const struct target_copy *copy, int root_fd, struct symbolizer *symbolizer,
		   const struct stack_frame *places, const struct place_time *times, uint32_t count,
		   struct generated *ret)
{
	_cleanup_free_ struct jit_query *queries = calloc(count + 1ul, sizeof(*queries));
	_cleanup_close_ int map = -1;
	bool is_timed = has_our_clock(copy->identity.pid);
	int dump;

	*ret = (struct generated){ 0 };
	if (!queries)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		queries[i] =
			(struct jit_query){ .place = { places[i].addr, places[i].is_exact_pc },
					    .first_ns = is_timed ? times[i].first_ns : 0,
					    .last_ns = is_timed ? times[i].last_ns : UINT64_MAX };
	map = open_map(&copy->identity, root_fd);
	dump = find_dump(copy);
	ask(symbolizer, map, "perf map", queries, count, &ret->by_map, ret->note,
	    sizeof(ret->note));
	ask(symbolizer, dump, "jitdump", queries, count, &ret->by_dump, ret->note,
	    sizeof(ret->note));
	for (uint32_t i = 0; i < count; i++)
		ret->unnamed += !generated_of(ret, i);
	if (ret->unnamed && map < 0 && dump < 0)
		snprintf(ret->note, sizeof(ret->note),
			 "%" PRIu32 " place%s in code made at run time %s no name: its maker "
			 "wrote no /tmp/perf-%d.map (node --perf-basic-prof and jcmd PID "
			 "Compiler.perfmap do)",
			 ret->unnamed, ret->unnamed == 1 ? "" : "s",
			 ret->unnamed == 1 ? "has" : "have", own_number(&copy->identity));
	return 0;
}
