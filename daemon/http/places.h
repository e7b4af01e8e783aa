#pragma once
/* places: who has a connection, and until when. Any thread.
 *
 * There are HTTP_MAX_CONNECTIONS; HTTP_OWNER_PLACES of them are for root and the owner, and
 * HTTP_PEER_PLACES at most for one other user of this machine or one other address.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer.h"

#define HTTP_MAX_CONNECTIONS 32
#define HTTP_OWNER_PLACES 8
#define HTTP_PEER_PLACES 8

struct http_place {
	int fd; /* -1: free; borrowed */
	struct http_peer peer;
	bool is_owner; /* or root */
	uint64_t deadline_ns;
};

struct http_places {
	pthread_mutex_t lock;
	struct http_place list[HTTP_MAX_CONNECTIONS];
	atomic_bool gone[HTTP_MAX_CONNECTIONS]; /* raised with `lock`, read without */
};

void http_places_init(struct http_places *places);
void http_places_deinit(struct http_places *places);
/* false: there is none for it. */
bool http_places_take(struct http_places *places, const struct http_place *wanted);
void http_places_release(struct http_places *places, int fd);
/* The place of a connection, whose next deadline is set. false: it was cut just now. */
bool http_places_extend(struct http_places *places, int fd, uint64_t ns, size_t *ret);
/* Cuts those that are too slow, and notices who has gone. ends: cuts all. Is anybody there? */
bool http_places_look(struct http_places *places, bool ends);
