#pragma once
/* findings: what is known of a target and told with its profile, in sentences: notes,
 * and what is not counted. Its own `lock` guards it, for moments; any thread may add. */
#include <pthread.h>
#include <stdint.h>

#include "daemon/account/partial.h"

struct findings {
	pthread_mutex_t lock; /* whoever reads holds it */
	char **notes;	      /* NULL-terminated, or NULL; owned */
	struct partials partials;
};

void findings_init(struct findings *findings);
/* All but the notes, as before anything was probed. */
void findings_forget(struct findings *findings);
void findings_deinit(struct findings *findings);

void findings_lock(struct findings *findings);
void findings_unlock(struct findings *findings);

/* Without the lock. -ENOMEM. The same sentence is kept once. */
int findings_note(struct findings *findings, const char *text);
/* See partials_say(). */
int findings_partial(struct findings *findings, const char *key, uint64_t bytes, const char *format,
		     ...) __attribute__((format(printf, 4, 5)));
void findings_withdraw_partial(struct findings *findings, const char *key);
