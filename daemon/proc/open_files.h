#pragma once
/* open_files: what a process has open: /proc/PID/fd. */
#include <sys/types.h>

/* number: the descriptor, as text; link: what it is, as in "anon_inode:[eventpoll]", cut at
 * PATH_MAX. What it returns ends the walk, if that is not 0. */
typedef int (*open_file_visit)(void *context, const char *number, const char *link);

/* 0, what visit returned, or -errno: the process is gone, or may not be looked into. Those that are
 * closed meanwhile are left out. */
int open_files_visit(pid_t pid, open_file_visit visit, void *context);
