#pragma once
/* file: what /proc tells about a process, asked of a thread that lives.
 *
 * A process goes on when its main thread has left (pthread_exit in main). /proc/PID is then still
 * there, but without memory and files: maps is empty, mem, exe, root, cmdline, map_files and ns
 * cannot be used. /proc/TID of any other thread shows all of them; what is read by a directory that
 * is open cannot be another process's, even if the number is used again.
 *
 * All functions: -ESRCH when there is no such process.
 */
#include <stddef.h>
#include <sys/types.h>

/* A directory with the files of the process, for openat(2) and the like. Of a process of which all
 * threads have left it is the empty one. */
int proc_open_dir(pid_t pid, int *ret_fd);
/* One of its files. */
int proc_open(pid_t pid, const char *file, int *ret_fd);
/* Read whole and NUL-terminated; *ret_size (may be NULL) without the NUL. The caller frees. */
int proc_read(pid_t pid, const char *file, char **ret, size_t *ret_size);
/* What a link of it, such as exe, leads to: NUL-terminated, cut to size. */
int proc_read_link(pid_t pid, const char *file, char *ret, size_t size);
/* As proc_read(), of the main thread, gone or not: when it began (stat), its numbers (status). */
int proc_read_main(pid_t pid, const char *file, char **ret, size_t *ret_size);

/* Of the environment that it was started with: what stands behind `begin`, such as "NAME=", in the
 * first setting that begins so. The caller frees. -ENOENT: none does. */
int proc_setting(pid_t pid, const char *begin, char **ret);

/* A thread of it that lives, the main one if it does. */
int proc_living_thread(pid_t pid, pid_t *ret);
/* The numbers of the threads that live, for the caller to free. */
int proc_threads(pid_t pid, pid_t **ret, size_t *ret_count);
