#pragma once
/* mapfile: the files behind a process's mappings. */
#include <stdint.h>
#include <sys/types.h>

/* Open the file that was mapped at [start, end), whose path and inode are what the process's maps
 * said: also one that was deleted, or that only the process's own mount namespace has. By its path
 * where map_files may not be used, or where something else is mapped there by now. -1 when it
 * cannot be had or is no regular file. */
int mapfile_open(pid_t pid, uint64_t start, uint64_t end, const char *path, uint64_t inode);
