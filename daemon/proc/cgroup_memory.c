#include "cgroup_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

#define MAX_FILE_CHARS 4096 /* these files have some hundred */

/* NUL-terminated; false: it cannot be read. */
static bool read_file(const char *path, char text[MAX_FILE_CHARS])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, MAX_FILE_CHARS - 1);

	if (size < 0)
		return false;
	text[size] = '\0';
	return true;
}

int pressure_parse(const char *text, uint64_t *ret)
{
	unsigned whole, hundredths;

	if (sscanf(text, "some avg10=%5u.%2u", &whole, &hundredths) != 2)
		return -EBADMSG;
	*ret = 100ull * whole + hundredths;
	return 0;
}

int pressure_read(uint64_t *ret)
{
	char text[MAX_FILE_CHARS];

	if (!read_file("/proc/pressure/memory", text))
		return -errno;
	return pressure_parse(text, ret);
}

/* Of lines "KEY NUMBER". */
static bool find_number(const char *text, const char *key, uint64_t *ret)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) || line[length] != ' ')
			continue;
		*ret = strtoull(line + length, NULL, 10);
		return true;
	}
	return false;
}

/* ---- which group ----------------------------------------------------------------------------- */

/* Of lines "HIERARCHY:CONTROLLERS:PATH": the path of version 2, whose hierarchy is 0 and has no
 * names, or of the one that has this controller. */
static bool find_group(const char *groups, const char *controller, char ret[PATH_MAX])
{
	_cleanup_free_ char *copy = strdup(groups);
	char *rest = copy, *line;

	while ((line = strsep(&rest, "\n"))) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
		char *name;

		if (!path)
			continue;
		*path++ = '\0';
		names++;
		if (!*controller && !*names && snprintf(ret, PATH_MAX, "%s", path) < PATH_MAX)
			return true;
		while (*controller && (name = strsep(&names, ",")))
			if (!strcmp(name, controller) &&
			    snprintf(ret, PATH_MAX, "%s", path) < PATH_MAX)
				return true;
	}
	return false;
}

/* By cgroup_namespaces(7): a path from our root begins with "/.." where it is not below that. What
 * lies there from the mount's point of view is something else. */
static bool is_out_of_sight(const char *group)
{
	return strncmp(group, "/..", 3) == 0 && (group[3] == '/' || !group[3]);
}

static bool read_of_group(const char *top, const char *group, const char *file,
			  char text[MAX_FILE_CHARS])
{
	char path[2 * PATH_MAX];

	return !is_out_of_sight(group) &&
	       snprintf(path, sizeof(path), "%s%s/%s", top, group, file) < (int)sizeof(path) &&
	       read_file(path, text);
}

/* ---- both versions --------------------------------------------------------------------------- */

static void read_second(const char *group, const char *top, struct cgroup_memory *ret)
{
	char text[MAX_FILE_CHARS];

	if (read_of_group(top, group, "memory.events", text)) {
		ret->has_high = find_number(text, "high", &ret->high);
		ret->has_max = find_number(text, "max", &ret->max);
	}
	if (read_of_group(top, group, "memory.pressure", text))
		ret->has_pressure = pressure_parse(text, &ret->pressure) == 0;
}

static void read_first(const char *group, const char *top, struct cgroup_memory *ret)
{
	char text[MAX_FILE_CHARS], *end;

	if (!read_of_group(top, group, "memory.failcnt", text))
		return;
	ret->max = strtoull(text, &end, 10);
	ret->has_max = end != text;
}

void cgroup_memory_read(const char *groups, const char *top, struct cgroup_memory *ret)
{
	char group[PATH_MAX], below[PATH_MAX];

	*ret = (struct cgroup_memory){ 0 };
	if (find_group(groups, "", group)) {
		ret->is_out_of_sight = is_out_of_sight(group);
		read_second(group, top, ret);
		/* "hybrid": version 2 beside the controllers of version 1 */
		if (!ret->has_max && !ret->has_pressure &&
		    snprintf(below, sizeof(below), "%s/unified", top) < (int)sizeof(below))
			read_second(group, below, ret);
	}
	if (!ret->has_max && find_group(groups, "memory", group) &&
	    snprintf(below, sizeof(below), "%s/memory", top) < (int)sizeof(below)) {
		ret->is_out_of_sight |= is_out_of_sight(group);
		read_first(group, below, ret);
	}
}
