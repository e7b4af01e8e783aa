#pragma once
/* searches: of each section of a configuration that looks for processes, how it goes. Thread-safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct searches;

#define SEARCH_NAME_CHARS 64

struct search_state {
	char name[SEARCH_NAME_CHARS];
	uint32_t watch;	   /* target_watch() of what it has brought */
	bool is_searching; /* false: it could not be begun, and nothing is attached to for it */
	size_t left_out;   /* processes that match, and are not attached to for want of room */
	size_t attached;   /* targets_list_searches() fills it in */
};

int searches_new(struct searches **ret);
void searches_free(struct searches *searches); /* NULL is fine */
/* One of that name is replaced. Without memory it is as it was. */
void searches_set(struct searches *searches, const struct search_state *state);
void searches_remove(struct searches *searches, const char *name);
/* In the order in which they came; the caller frees. -ENOMEM. */
int searches_list(struct searches *searches, struct search_state **ret, size_t *ret_count);
