#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "proto/base/cleanup.h"

/* systemd's VALID_CHARS: nothing that could do harm on a screen. */
static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			      "0123456789:-_.\\@";
static const char suffix[] = ".service";

static bool is_service(const char *name, size_t length)
{
	size_t tail = strlen(suffix);

	return length > tail && length < UNIT_CHARS && strspn(name, allowed) >= length &&
	       strncmp(name + length - tail, suffix, tail) == 0;
}

static void parse_path(const char *path, size_t length, char ret[UNIT_CHARS])
{
	const char *end = path + length;

	while (path < end) {
		size_t size = strcspn(path, "/\n");

		if (is_service(path, size)) {
			memcpy(ret, path, size);
			ret[size] = '\0';
		}
		path += size + 1;
	}
}

/* Lines "HIERARCHY:CONTROLLERS:PATH"; with v1 there is one for each hierarchy, and systemd's own is
 * among them. */
void unit_parse(const char *text, char ret[UNIT_CHARS])
{
	*ret = '\0';
	for (const char *line = text; *line && !*ret;
	     line += strcspn(line, "\n"), line += *line == '\n') {
		size_t length = strcspn(line, "\n");
		const char *path = memchr(line, ':', length);

		path = path ? memchr(path + 1, ':', line + length - path - 1) : NULL;
		if (path)
			parse_path(path + 1, line + length - path - 1, ret);
	}
}

void unit_of(pid_t pid, char ret[UNIT_CHARS])
{
	_cleanup_free_ char *text = NULL;

	*ret = '\0';
	if (proc_read(pid, "cgroup", &text, NULL) == 0)
		unit_parse(text, ret);
}
