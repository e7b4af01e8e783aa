#pragma once
/* findings: what is known of a target and told with its profile, in sentences: notes,
 * and what is not counted. Its own `lock` guards it, for moments; any thread may add. */
#include <pthread.h>
#include <stdint.h>

#include "daemon/account/partial.h"

/* Keeps P4: a target may do again and again what is told with a time or an address each. */
#define FINDINGS_MAX_NOTES 128

struct findings {
	pthread_mutex_t lock; /* whoever reads holds it */
	char **notes;	      /* NULL-terminated, or NULL; owned; FINDINGS_MAX_NOTES at most */
	size_t note_count;
	uint64_t left_out; /* beyond that: the last note tells */
	struct partials partials;
};

void findings_init(struct findings *findings);
/* All but the notes, as before anything was probed. */
void findings_forget(struct findings *findings);
void findings_deinit(struct findings *findings);

void findings_lock(struct findings *findings);
void findings_unlock(struct findings *findings);

/* Without the lock. -ENOMEM. The same sentence is kept once; of those beyond the bound one tells
 * how many they were. */
int findings_note(struct findings *findings, const char *text);
/* See partials_say(). */
int findings_partial(struct findings *findings, const char *key, uint64_t bytes, const char *format,
		     ...) __attribute__((format(printf, 4, 5)));
void findings_withdraw_partial(struct findings *findings, const char *key);
