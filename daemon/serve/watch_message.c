#include "watch_message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/target/searches.h"
#include "proto/base/cleanup.h"

/* NULL: no memory. */
static Dhat__Watch *message_of(const struct search_state *from)
{
	Dhat__Watch *watch = malloc(sizeof(*watch));

	if (!watch)
		return NULL;
	dhat__watch__init(watch);
	watch->is_searching = from->is_searching;
	watch->attached = from->attached;
	watch->left_out = from->left_out;
	watch->name = strdup(from->name);
	if (watch->name)
		return watch;
	free(watch);
	return NULL;
}

int watch_message_add(struct targets *targets, Dhat__Status *status)
{
	_cleanup_free_ struct search_state *list = NULL;
	size_t count;
	int error = targets_list_searches(targets, &list, &count);

	if (error || !count)
		return error;
	status->watches = calloc(count, sizeof(*status->watches));
	if (!status->watches)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		Dhat__Watch *watch = message_of(&list[i]);

		if (!watch)
			return -ENOMEM;
		status->watches[status->n_watches++] = watch;
	}
	return 0;
}

void watch_message_free(Dhat__Status *status)
{
	for (size_t i = 0; i < status->n_watches; i++)
		dhat__watch__free_unpacked(status->watches[i], NULL);
	free(status->watches);
	status->watches = NULL;
	status->n_watches = 0;
}
