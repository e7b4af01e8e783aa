#pragma once
/* process_set: some processes, each known by its number and when it began, so that a number that is
 * used again is not taken for it.
 *
 * No larger than there are processes (P4): whoever has ended goes when one is added.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process_set { /* starts zeroed; for one thread at a time */
	struct process_set_entry {
		pid_t pid;
		uint64_t start_ticks; /* status.h */
	} * list;
	size_t count, capacity;
};

/* start_ticks: as it was when the caller met it. One that is in it already is there once. -ENOMEM:
 * it is not in it. */
int process_set_add(struct process_set *set, pid_t pid, uint64_t start_ticks);
void process_set_remove(struct process_set *set, pid_t pid);
/* Is the process in it that has this number now? */
bool process_set_has(const struct process_set *set, pid_t pid);
/* Of those that are still there only these stay. keep NULL: all of them. */
void process_set_keep(struct process_set *set, bool (*keep)(void *context, pid_t pid),
		      void *context);
void process_set_deinit(struct process_set *set);
