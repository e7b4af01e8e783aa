#pragma once
/* workers: the ELF workers of this process, as ps would show them. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline int workers_parent(int pid)
{
	char path[64], text[512] = "";
	const char *name_end;
	int parent = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fread(text, 1, sizeof(text) - 1, file) == 0)
		text[0] = '\0';
	fclose(file);
	name_end = strrchr(text, ')');
	return name_end && sscanf(name_end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* How many of a kind there are; the process id of one of them, 0: of none. */
static inline int workers_of(const char *kind, int *ret_pid)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	*ret_pid = 0;
	while (dir && (entry = readdir(dir))) {
		char path[64], text[256] = "", *at = text;
		int pid = atoi(entry->d_name);
		FILE *file;
		size_t size;

		if (pid <= 0 || workers_parent(pid) != getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
		file = fopen(path, "r");
		if (!file)
			continue;
		size = fread(text, 1, sizeof(text) - 1, file);
		fclose(file);
		if (strcmp(text, "dhatd-worker") != 0)
			continue; /* another child, or one that has ended */
		for (int i = 0; i < 3 && at < text + size; i++)
			at += strlen(at) + 1;
		if (!strcmp(at, kind)) {
			*ret_pid = pid;
			count++;
		}
	}
	if (dir)
		closedir(dir);
	return count;
}

/* Process ids of one for names, and one for tables; 0: not running. */
static inline void workers_pids(int ret[2])
{
	workers_of("names", &ret[0]);
	workers_of("tables", &ret[1]);
}
