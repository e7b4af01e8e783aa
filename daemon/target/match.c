#include "match.h"

#include "daemon/proc/container.h"
#include "daemon/proc/file.h"
#include "kin.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void match_describe(const struct match_options *options, char *ret, size_t size)
{
	const struct {
		const char *option, *value;
	} parts[] = {
		{ "--name", options->name_regex },    { "--command", options->command_regex },
		{ "--cgroup", options->cgroup_path }, { "--container", options->container },
		{ "--unit", options->unit },
	};
	size_t used = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i].value && used < size)
			used += snprintf(ret + used, size - used, "%s%s '%s'", used ? " " : "",
					 parts[i].option, parts[i].value);
}

/* ---- one process ----------------------------------------------------------------------------- */

static const char *base_name(char *path)
{
	static const char deleted[] = " (deleted)"; /* the kernel's mark: proc(5) */
	size_t length = strlen(path);
	char *slash;

	if (length > strlen(deleted) && !strcmp(path + length - strlen(deleted), deleted))
		path[length - strlen(deleted)] = '\0';
	slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool matches_name(const struct match *match, pid_t pid, char *executable)
{
	_cleanup_free_ char *comm = NULL;

	if (!match->has_name || regexec(&match->name, base_name(executable), 0, NULL, 0) == 0)
		return true;
	if (proc_read_main(pid, "comm", &comm, NULL))
		return false;
	comm[strcspn(comm, "\n")] = '\0';
	return regexec(&match->name, comm, 0, NULL, 0) == 0;
}

static bool matches_command(const struct match *match, pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	if (!match->has_command)
		return true;
	if (proc_read(pid, "cmdline", &text, &size) || size == 0)
		return false;
	for (size_t i = 0; i + 1 < size; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	return regexec(&match->command, text, 0, NULL, 0) == 0;
}

/* Is path the folder, or below it? */
static bool is_below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	while (length > 0 && folder[length - 1] == '/')
		length--;
	return strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Lines of /proc/PID/cgroup: "HIERARCHY:CONTROLLERS:PATH" (cgroups(7)). Which hierarchy was meant
 * is told by the end of the given path, where they differ by their mount points only. */
static bool matches_cgroup(const struct match *match, pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (!match->cgroup)
		return true;
	if (proc_read(pid, "cgroup", &text, NULL))
		return false;
	for (rest = text; (line = strsep(&rest, "\n"));) {
		char *path = strchr(line, ':');

		path = path ? strchr(path + 1, ':') : NULL;
		if (path && is_below(path + 1, match->cgroup))
			return true;
	}
	return false;
}

static bool matches_container(const struct match *match, pid_t pid)
{
	struct container container;

	if (!match->options.container)
		return true;
	container_of(pid, &container);
	return container_is_meant(&container, match->options.container);
}

/* Is it a folder of the path? */
static bool has_folder(const char *path, const char *name, const char *suffix)
{
	size_t length = strlen(name);

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		const char *at = slash + 1, *end = at + strcspn(at, "/\n");

		if (strncmp(at, name, length) == 0 &&
		    strncmp(at + length, suffix, strlen(suffix)) == 0 &&
		    at + length + strlen(suffix) == end)
			return true;
	}
	return false;
}

static bool matches_unit(const struct match *match, pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	const char *unit = match->options.unit;

	if (!unit)
		return true;
	return proc_read(pid, "cgroup", &text, NULL) == 0 &&
	       has_folder(text, unit, strchr(unit, '.') ? "" : ".service");
}

enum match_answer match_process(const struct match *match, pid_t pid)
{
	char executable[PATH_MAX] = "";

	if (pid == getpid() || proc_read_link(pid, "exe", executable, sizeof(executable)) ||
	    !executable[0])
		return MATCH_NO;
	if (!matches_cgroup(match, pid) || !matches_container(match, pid) ||
	    !matches_unit(match, pid) || !matches_name(match, pid, executable) ||
	    !matches_command(match, pid))
		return MATCH_NO;
	switch (kin_of(pid)) {
	case KIN_ANCESTOR:
		return MATCH_OWN_ANCESTOR;
	case KIN_DHATD:
		return MATCH_OWN_KIND;
	case KIN_NONE:
		break;
	}
	return MATCH_YES;
}

int match_list(const struct match *match, struct matched **ret, size_t *ret_count)
{
	_cleanup_free_ struct matched *list = NULL;
	_cleanup_free_ pid_t *pids = NULL;
	size_t pid_count = 0, count = 0, capacity = 0;
	int error = kin_all(&pids, &pid_count);

	for (size_t i = 0; i < pid_count && error == 0; i++) {
		enum match_answer answer = match_process(match, pids[i]);

		if (answer == MATCH_NO)
			continue;
		error = array_make_room(&list, &capacity, count);
		if (error == 0)
			list[count++] = (struct matched){ pids[i], answer };
	}
	if (error)
		return error;
	*ret = take_ptr(list);
	*ret_count = count;
	return 0;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static int compile(const char *option, const char *text, regex_t *ret, bool *ret_has,
		   struct dhat_error *err)
{
	char why[128];
	int error;

	if (!text)
		return 0;
	error = regcomp(ret, text, REG_EXTENDED | REG_NOSUB);
	if (error) {
		regerror(error, ret, why, sizeof(why));
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE, "%s '%s': %s", option, text,
				      why);
	}
	*ret_has = true;
	return 0;
}

/* "/sys/fs/cgroup/system.slice/x.service" → "/system.slice/x.service": what is left after the mount
 * point, where the device number changes. */
static int find_cgroup(const char *given, char **ret, struct dhat_error *err)
{
	char path[PATH_MAX], procs[PATH_MAX + 16];
	struct stat here, above;

	if (!given)
		return 0;
	if (!realpath(given, path) ||
	    (snprintf(procs, sizeof(procs), "%s/cgroup.procs", path), access(procs, R_OK)))
		return dhat_error_set(
			err, ENOENT, DHAT_EXIT_USAGE,
			"--cgroup %s: no cgroup folder (with a cgroup.procs in it): look "
			"below /sys/fs/cgroup, or at /proc/PID/cgroup",
			given);
	stat(path, &here);
	for (size_t length = strlen(path); length > 1;) {
		char *slash = memrchr(path, '/', length);
		char kept;

		length = slash ? slash - path : 0;
		kept = path[length ? length : 1];
		path[length ? length : 1] = '\0';
		if (stat(path, &above) || above.st_dev != here.st_dev) {
			/* path is the mount's parent: what we look for begins after the next name
			 */
			path[length ? length : 1] = kept;
			slash = strchr(path + length + 1, '/');
			*ret = strdup(slash ? slash : "/");
			return *ret ? 0 : -ENOMEM;
		}
		path[length ? length : 1] = kept;
	}
	*ret = strdup("/");
	return *ret ? 0 : -ENOMEM;
}

static int check_container(const char *word, struct dhat_error *err)
{
	if (!word || container_is_word(word))
		return 0;
	return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
			      "--container %s: give the first %d digits of its ID, or more, a "
			      "machine's name, or a pod's UID: `dhatd ps' lists them",
			      word, CONTAINER_SHORT_DIGITS);
}

int match_init(const struct match_options *options, struct match *ret, struct dhat_error *err)
{
	int error;

	*ret = (struct match){ .options = *options };
	error = compile("--name", options->name_regex, &ret->name, &ret->has_name, err);
	if (error == 0)
		error = compile("--command", options->command_regex, &ret->command,
				&ret->has_command, err);
	if (error == 0)
		error = check_container(options->container, err);
	return error ? error : find_cgroup(options->cgroup_path, &ret->cgroup, err);
}

void match_deinit(struct match *match)
{
	if (match->has_name)
		regfree(&match->name);
	if (match->has_command)
		regfree(&match->command);
	free(match->cgroup);
	*match = (struct match){ 0 };
}
