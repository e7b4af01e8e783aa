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

/* Process ids of the two (names, tables); 0: not running. */
static inline void workers_pids(int ret[2])
{
	static const char *const kinds[] = { "names", "tables" };
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	ret[0] = ret[1] = 0;
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
		for (int i = 0; i < 2; i++)
			if (!strcmp(at, kinds[i]))
				ret[i] = pid;
	}
	if (dir)
		closedir(dir);
}
