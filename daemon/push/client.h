#pragma once
/* client: one request sent by HTTP/1.1, by libcurl, and what the answer means.
 *
 * For one thread. A server that is slow, hangs, answers without end or half has its bounds:
 * PUSH_CONNECT_SECONDS to be reached, PUSH_SECONDS for all of it, PUSH_IDLE_SECONDS without a byte,
 * PUSH_ANSWER_BYTES of answer, beyond which nobody listens. Redirections are not followed: they
 * could lead the token anywhere. Certificates are checked, always; a proxy is taken from the
 * environment, as by all users of libcurl.
 */
#include <stdatomic.h>
#include <stdint.h>

#include "settings.h"

#define PUSH_CONNECT_SECONDS 10L
#define PUSH_SECONDS 120L
#define PUSH_IDLE_SECONDS 30L
#define PUSH_ANSWER_BYTES (64u << 10) /* of its head, and of its body */
#define PUSH_RETRY_AFTER_NS 3600000000000ull

enum push_outcome {
	PUSH_TAKEN,
	PUSH_REFUSED, /* this one, for good: it is no use to send it again (400, 413, 415) */
	/* this one, or all of them (422): Pyroscope's /ingest says so of a profile that it cannot
	 * read and when what stands behind it is away or has too much to do */
	PUSH_DOUBTED,
	PUSH_BARRED, /* all of them: somebody has to mend something (401, 403, 404, 3xx, a
			certificate, sockets that dhatd may not make) */
	PUSH_GONE,   /* it is not there any more: nothing was sent */
	PUSH_LATER,  /* not now (408, 429, 5xx, nobody there) */
};

struct push_answer {
	enum push_outcome outcome;
	uint64_t retry_after_ns; /* as it asks us to wait, at most PUSH_RETRY_AFTER_NS; 0: it does
				    not */
	char text[256];		 /* for a person, unless it was taken; may quote the server */
};

struct push_client;

/* stop: raised, it ends what is under way. Settings and stop are borrowed. */
int push_client_new(const struct push_settings *settings, const atomic_bool *stop,
		    struct push_client **ret);
void push_client_free(struct push_client *client); /* NULL is fine */
/* path: see request.h. The token's file is read anew. */
void push_client_send(struct push_client *client, const char *path, struct push_answer *ret);

/* Pure: what a status means. */
enum push_outcome push_outcome_of(long status);
