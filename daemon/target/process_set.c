#include "process_set.h"

#include "daemon/proc/status.h"
#include "proto/base/array.h"

#include <stdlib.h>

static bool is_there(const struct process_set_entry *entry)
{
	return proc_start_ticks(entry->pid) == entry->start_ticks;
}

void process_set_keep(struct process_set *set, bool (*keep)(void *context, pid_t pid),
		      void *context)
{
	size_t count = 0;

	for (size_t i = 0; i < set->count; i++)
		if (is_there(&set->list[i]) && (!keep || keep(context, set->list[i].pid)))
			set->list[count++] = set->list[i];
	set->count = count;
}

int process_set_add(struct process_set *set, pid_t pid, uint64_t start_ticks)
{
	process_set_remove(set, pid);
	process_set_keep(set, NULL, NULL);
	if (array_make_room(&set->list, &set->capacity, set->count))
		return -ENOMEM;
	set->list[set->count++] = (struct process_set_entry){ pid, start_ticks };
	return 0;
}

void process_set_remove(struct process_set *set, pid_t pid)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->list[i].pid == pid)
			set->list[i--] = set->list[--set->count];
}

bool process_set_has(const struct process_set *set, pid_t pid)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->list[i].pid == pid)
			return is_there(&set->list[i]);
	return false;
}

void process_set_deinit(struct process_set *set)
{
	free(set->list);
	*set = (struct process_set){ 0 };
}
