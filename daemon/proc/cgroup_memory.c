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

static bool read_of_group(const char *folder, const char *file, char text[MAX_FILE_CHARS])
{
	char path[CGROUP_FOLDER_CHARS + 32];

	return snprintf(path, sizeof(path), "%s/%s", folder, file) < (int)sizeof(path) &&
	       read_file(path, text);
}

/* ---- both versions --------------------------------------------------------------------------- */

static void read_second(const char *folder, struct cgroup_memory *ret)
{
	char text[MAX_FILE_CHARS];

	if (read_of_group(folder, "memory.events", text)) {
		ret->has_high = find_number(text, "high", &ret->high);
		ret->has_max = find_number(text, "max", &ret->max);
	}
	if (read_of_group(folder, "memory.pressure", text))
		ret->has_pressure = pressure_parse(text, &ret->pressure) == 0;
}

static void read_first(const char *folder, struct cgroup_memory *ret)
{
	char text[MAX_FILE_CHARS], *end;

	if (!read_of_group(folder, "memory.failcnt", text))
		return;
	ret->max = strtoull(text, &end, 10);
	ret->has_max = end != text;
}

void cgroup_memory_read(const char *groups, struct cgroup_view *view, struct cgroup_memory *ret)
{
	char group[PATH_MAX], folder[CGROUP_FOLDER_CHARS];
	bool is_seen = true;

	*ret = (struct cgroup_memory){ 0 };
	if (find_group(groups, "", group)) {
		is_seen = cgroup_view_folder(view, CGROUP_SECOND, group, folder);
		if (is_seen)
			read_second(folder, ret);
		if (!ret->has_max && !ret->has_pressure &&
		    cgroup_view_folder(view, CGROUP_HYBRID, group, folder)) {
			is_seen = true;
			read_second(folder, ret);
		}
	}
	if (!ret->has_max && find_group(groups, "memory", group)) {
		is_seen = cgroup_view_folder(view, CGROUP_MEMORY, group, folder);
		if (is_seen)
			read_first(folder, ret);
	}
	ret->is_out_of_sight = !is_seen;
}
