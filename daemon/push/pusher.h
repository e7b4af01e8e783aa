#pragma once
/* pusher: all destinations, by their settings.
 *
 * Each has a folder of its own below `folder`, named by a hash of its URL, form and tenant, so that
 * what waits there is found again by the next dhatd with the same settings. At most
 * PUSH_DESTINATIONS at a time (P4).
 */
#include "destination.h"
#include "since.h"

#define PUSH_DESTINATIONS 8
#define PUSH_LAST_NS 3000000000ull /* so long an end waits for what may still arrive */

struct pusher;

/* folder: borrowed; made when the first destination is set. */
int pusher_new(const char *folder, struct pusher **ret, struct dhat_error *err);
/* Waits up to PUSH_LAST_NS; what is left stays on disk. Nothing is pushed after it. NULL is fine,
 * for both. */
void pusher_stop(struct pusher *pusher);
void pusher_free(struct pusher *pusher);

/* From now on these are the destinations (those without a URL are passed over): new ones begin with
 * what waits for them on disk; those that are in it no longer end, within PUSH_LAST_NS, and what
 * they have not sent by then stays there: left.h. On failure (too many, a folder that cannot be
 * used) those that could be are there. NULL is fine. */
int pusher_set(struct pusher *pusher, const struct push_settings *const *list, size_t count,
	       struct dhat_error *err);
/* Says, of each, what is left on disk that is no destination's. NULL is fine. */
void pusher_tell_left(struct pusher *pusher);
/* See destination_add(). One thread at a time, which may be another one than pusher_set()'s. The
 * snapshot is made what the form wants: see request.h. *since: of the profile of that target that
 * was added before, which this one is from now on; NULL at first, the caller's to free. */
int pusher_add(struct pusher *pusher, const struct push_settings *settings,
	       struct dhat_snapshot *snapshot, struct since **since);
void pusher_retry(struct pusher *pusher); /* see destination_retry(); NULL is fine */

struct pusher_state {		     /* of one destination, or of what is left of one */
	char *url, *tenant, *folder; /* owned; a tenant may be NULL */
	const char *form;	     /* NULL: it is left: of state there is what waits */
	struct destination_state state;
};
/* Of all destinations, and then of what is left; the caller frees the list by pusher_states_free().
 * -ENOMEM. Without any, as with pusher NULL, *ret is NULL: there is nothing to be freed.
 */
int pusher_look(struct pusher *pusher, struct pusher_state **ret, size_t *ret_count);
void pusher_states_free(struct pusher_state *list, size_t count);
