#pragma once
/* kernel_words: what a process has given to the kernel to keep, and will get back: pointers, as
 * often as not.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct kernel_word {
	uint64_t value;
	const char *name; /* static: "epoll data", "a timer" */
};

struct kernel_words {
	struct kernel_word *list;
	size_t count, room;
};

/* epoll's data and buffers that an io_uring was told of (proc(5), fdinfo), and the values of timers
 * (/proc/PID/timers). (What stands in an io_uring's queues is memory.) What cannot be read
 * is left out: -EACCES, -ESRCH, -ENOMEM. */
int kernel_words_read(pid_t pid, struct kernel_words *ret);
void kernel_words_deinit(struct kernel_words *words);
int kernel_words_add(struct kernel_words *words, uint64_t value, const char *name);

/* Pure: the lines of one file. */
int kernel_words_of_epoll(const char *text, struct kernel_words *words);
int kernel_words_of_timers(const char *text, struct kernel_words *words);
int kernel_words_of_uring(const char *text, struct kernel_words *words);
