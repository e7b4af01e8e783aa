#include "searches.h"

#include "proto/base/array.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct searches {
	pthread_mutex_t lock; /* nothing else is locked with it */
	struct search_state *list;
	size_t count, capacity;
};

int searches_new(struct searches **ret)
{
	struct searches *searches = calloc(1, sizeof(*searches));

	if (!searches)
		return -ENOMEM;
	pthread_mutex_init(&searches->lock, NULL);
	*ret = searches;
	return 0;
}

void searches_free(struct searches *searches)
{
	if (!searches)
		return;
	pthread_mutex_destroy(&searches->lock);
	free(searches->list);
	free(searches);
}

/* With `lock`; `count`: there is none. */
static size_t find(const struct searches *searches, const char *name)
{
	size_t i = 0;

	while (i < searches->count && strcmp(searches->list[i].name, name) != 0)
		i++;
	return i;
}

void searches_set(struct searches *searches, const struct search_state *state)
{
	size_t at;

	pthread_mutex_lock(&searches->lock);
	at = find(searches, state->name);
	if (at < searches->count)
		searches->list[at] = *state;
	else if (array_make_room(&searches->list, &searches->capacity, searches->count) == 0)
		searches->list[searches->count++] = *state;
	pthread_mutex_unlock(&searches->lock);
}

void searches_remove(struct searches *searches, const char *name)
{
	size_t at;

	pthread_mutex_lock(&searches->lock);
	at = find(searches, name);
	if (at < searches->count) {
		searches->count--;
		memmove(&searches->list[at], &searches->list[at + 1],
			(searches->count - at) * sizeof(*searches->list));
	}
	pthread_mutex_unlock(&searches->lock);
}

int searches_list(struct searches *searches, struct search_state **ret, size_t *ret_count)
{
	struct search_state *list;

	pthread_mutex_lock(&searches->lock);
	list = calloc(searches->count + 1, sizeof(*list));
	if (list && searches->count)
		memcpy(list, searches->list, searches->count * sizeof(*list));
	*ret_count = list ? searches->count : 0;
	pthread_mutex_unlock(&searches->lock);
	*ret = list;
	return list ? 0 : -ENOMEM;
}
