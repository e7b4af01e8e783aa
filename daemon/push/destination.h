#pragma once
/* destination: one URL that profiles are pushed to: its queue on disk, and a thread that sends from
 * it.
 *
 * D1: a profile that was added leaves the queue when it has arrived, when the server says that it
 * never will, or because of the queue's bounds; each is counted. Of an answer that may mean one or
 * all (PUSH_DOUBTED) it is one only when another is taken after it. D2: after a failure there is a
 * pause: PUSH_FIRST_PAUSE_NS, twice as long each time up to PUSH_LONGEST_PAUSE_NS, a quarter more
 * or less so that hosts do not come together; longer if the server asks for it. D3: nobody waits
 * for the thread, and it waits for nobody's lock but the queue's.
 */
#include <stdatomic.h>

#include "proto/profile/snapshot.h"
#include "queue.h"
#include "settings.h"

#define PUSH_FIRST_PAUSE_NS 1000000000ull
#define PUSH_LONGEST_PAUSE_NS 300000000000ull

struct destination;

struct destination_options {
	const struct push_settings *settings; /* copied */
	const char *folder;		      /* of its queue */
	uint64_t first_pause_ns;	      /* 0: PUSH_FIRST_PAUSE_NS; for tests */
};

int destination_new(const struct destination_options *options, struct destination **ret,
		    struct dhat_error *err);
/* What waits is tried once more, one after the other, until one fails or deadline_ns
 * (CLOCK_MONOTONIC) has come; what is left stays on disk. Joins the thread. */
void destination_ask_to_end(struct destination *destination); /* does not wait */
void destination_end(struct destination *destination, uint64_t deadline_ns);
void destination_free(struct destination *destination); /* NULL is fine */

const struct push_settings *destination_settings(const struct destination *destination);
/* The same destination, told anew: the next request goes by these. -ENOMEM: by the old ones. */
int destination_tell(struct destination *destination, const struct push_settings *settings);
/* What waits is tried now, with files of certificates read anew. */
void destination_retry(struct destination *destination);

/* One thread at a time. What cannot be kept is counted as dropped, and the first time it is said.
 */
int destination_add(struct destination *destination, const struct dhat_snapshot *snapshot,
		    uint64_t since_unix_ns);

struct destination_state {
	uint64_t pushed, failed, refused,
		dropped; /* since the start; failed: tries, the others profiles */
	uint64_t waiting, waiting_bytes;
	uint64_t next_try_ns; /* until then; 0: nothing failed last */
	char trouble[256];    /* why the last try failed; "": it did not */
};
void destination_look(struct destination *destination, struct destination_state *ret);
