#include "cgroup_view.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDERS_MAX 100000 /* a host has some hundred to some thousand */

static const char *const names[CGROUP_HIERARCHIES] = {
	[CGROUP_SECOND] = "",
	[CGROUP_HYBRID] = "/unified",
	[CGROUP_MEMORY] = "/memory",
};

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* path: of a folder, which becomes that of the wanted one below it. */
static bool find_below(char path[PATH_MAX], const struct stat *wanted, unsigned *left)
{
	size_t length = strlen(path);
	DIR *dir = opendir(path);
	struct dirent *entry;
	bool is_found = false;
	struct stat st;

	while (dir && !is_found && *left && (entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || is_dots(entry->d_name) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    snprintf(path + length, PATH_MAX - length, "/%s", entry->d_name) >=
			    (int)(PATH_MAX - length) ||
		    st.st_dev != wanted->st_dev)
			continue;
		(*left)--;
		is_found = st.st_ino == wanted->st_ino || find_below(path, wanted, left);
	}
	if (dir)
		closedir(dir);
	if (!is_found)
		path[length] = '\0';
	return is_found;
}

static bool find_root(const struct cgroup_view *view, enum cgroup_hierarchy hierarchy,
		      char ret[PATH_MAX])
{
	char path[PATH_MAX];
	unsigned left = FOLDERS_MAX;
	size_t outer;
	struct stat own;

	if (snprintf(path, sizeof(path), "%s%s", view->top, names[hierarchy]) >=
		    (int)sizeof(path) ||
	    stat(path, &own))
		return false;
	outer = snprintf(path, sizeof(path), "%s%s", view->outer_top, names[hierarchy]);
	if (outer >= sizeof(path) || !find_below(path, &own, &left))
		return false;
	memcpy(ret, path + outer, strlen(path + outer) + 1);
	return true;
}

static bool begins_above(const char *group)
{
	return strncmp(group, "/..", 3) == 0 && (group[3] == '/' || !group[3]);
}

/* root: of ours; each "/.." of the group leads one up. False: there is no such group. */
static bool climb(char root[PATH_MAX], const char **group)
{
	for (; begins_above(*group); *group += 3) {
		char *last = strrchr(root, '/');

		if (!last)
			return false;
		*last = '\0';
	}
	return true;
}

bool cgroup_view_folder(struct cgroup_view *view, enum cgroup_hierarchy hierarchy,
			const char *group, char ret[CGROUP_FOLDER_CHARS])
{
	char root[PATH_MAX];

	if (!begins_above(group))
		return snprintf(ret, CGROUP_FOLDER_CHARS, "%s%s%s", view->top, names[hierarchy],
				group) < CGROUP_FOLDER_CHARS;
	if (!view->roots[hierarchy].was_looked_for)
		view->roots[hierarchy].is_known =
			find_root(view, hierarchy, view->roots[hierarchy].path);
	view->roots[hierarchy].was_looked_for = true;
	if (!view->roots[hierarchy].is_known)
		return false;
	strcpy(root, view->roots[hierarchy].path);
	return climb(root, &group) &&
	       snprintf(ret, CGROUP_FOLDER_CHARS, "%s%s%s%s", view->outer_top, names[hierarchy],
			root, group) < CGROUP_FOLDER_CHARS;
}
