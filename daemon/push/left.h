#pragma once
/* left: what waits on disk for a destination that there is no more, since another URL, form or
 * tenant was set, or none. Nothing sends it, and nothing removes it.
 */
#include <stddef.h>
#include <stdint.h>

#include "settings.h"

#define LEFT_MAX 64 /* folders; what is beyond it is not told of */

struct left {
	char *folder;		  /* of a queue; owned */
	char url[PUSH_URL_CHARS]; /* where the oldest was to go; "": that cannot be read */
	uint64_t files, bytes;
};

/* Of the folders below this one those with profiles that no dhatd pushes from; the caller frees by
 * left_free(). A folder that is not there has none. -ENOMEM. */
int left_look(const char *folder, struct left **ret, size_t *ret_count);
void left_free(struct left *list, size_t count);
