#include "push_message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"

/* NULL: no memory. */
static Dhat__Push *message_of(const struct pusher_state *from, uint64_t now_ns)
{
	const struct destination_state *state = &from->state;
	Dhat__Push *push = malloc(sizeof(*push));

	if (!push)
		return NULL;
	dhat__push__init(push);
	push->pushed = state->pushed;
	push->failed = state->failed;
	push->refused = state->refused;
	push->dropped = state->dropped;
	push->waiting = state->waiting;
	push->waiting_bytes = state->waiting_bytes;
	push->next_try_in_ns = state->next_try_ns > now_ns ? state->next_try_ns - now_ns : 0;
	push->url = strdup(from->url);
	push->form = strdup(from->form ?: "");
	push->trouble = strdup(state->trouble);
	push->tenant = strdup(from->tenant ?: "");
	push->folder = strdup(from->folder);
	push->is_left = !from->form;
	if (push->url && push->form && push->trouble && push->tenant && push->folder)
		return push;
	dhat__push__free_unpacked(push, NULL);
	return NULL;
}

int push_message_add(struct pusher *pusher, Dhat__Status *status)
{
	uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
	struct pusher_state *list;
	size_t count;
	int error = pusher_look(pusher, &list, &count);

	if (error || !count)
		return error;
	status->pushes = calloc(count, sizeof(*status->pushes));
	for (size_t i = 0; i < count && status->pushes && error == 0; i++) {
		Dhat__Push *push = message_of(&list[i], now_ns);

		if (push)
			status->pushes[status->n_pushes++] = push;
		else
			error = -ENOMEM;
	}
	pusher_states_free(list, count);
	return status->pushes ? error : -ENOMEM;
}

void push_message_free(Dhat__Status *status)
{
	for (size_t i = 0; i < status->n_pushes; i++)
		dhat__push__free_unpacked(status->pushes[i], NULL);
	free(status->pushes);
	status->pushes = NULL;
	status->n_pushes = 0;
}
