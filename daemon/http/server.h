#pragma once
/* server: dhatd's connections by HTTP, by libmicrohttpd; what is answered is the handler's.
 *
 * Only GET and HEAD; one request a connection. Each connection has a thread of its own, of low
 * priority, at most HTTP_MAX_CONNECTIONS at a time, of which HTTP_OWNER_PLACES are for root and the
 * owner, and HTTP_PEER_PLACES at most for one other user of this machine or one other address
 * (places.h). Who finds no place is told so (503), if it may know that at all. A request has to
 * come whole within HTTP_RECEIVE_NS and HTTP_REQUEST_BYTES, an answer be made within
 * HTTP_ANSWER_NS, and be taken at HTTP_SEND_BYTES_PER_SECOND on average, with HTTP_SEND_NS of
 * grace; else the connection is cut. Answers that are not yet taken have HTTP_HELD_BYTES, beyond
 * which no more are made (503). Nothing of a target is held meanwhile.
 */
#include <stdatomic.h>
#include <stddef.h>

#include "access.h"
#include "daemon/serve/peers.h"

#define HTTP_REQUEST_BYTES 16384u
#define HTTP_RECEIVE_NS 10000000000ull
#define HTTP_ANSWER_NS 900000000000ull
#define HTTP_SEND_NS 30000000000ull
#define HTTP_SEND_BYTES_PER_SECOND 131072
#define HTTP_HELD_BYTES (256u << 20)

struct http_server;
struct http_request {
	const char *path;
	const atomic_bool *gone; /* nobody waits for the answer any more */
	void *connection;	 /* private, as is the next */
	struct http_server *server;
};
/* Of what is behind the question mark; NULL: it is not there. Lives as long as the request. */
const char *http_request_argument(const struct http_request *request, const char *name);

/* Is there room for another answer yet? For a handler that has waited for its turn: others may have
 * been answered meanwhile, and not have taken it. (What is just being finished is not known.) */
bool http_request_has_room(const struct http_request *request);
#define HTTP_NO_ROOM "too many answers wait for their readers; try again"

struct http_answer { /* zeroed at first */
	unsigned status;
	const char *type; /* static */
	char *body;	  /* owned */
	size_t size;
	char file_name[96]; /* "" or what a browser shall save it as: plain ASCII */
	const char *policy; /* Content-Security-Policy, static; NULL: nothing is loaded or run */
};

typedef void (*http_handler)(void *context, const struct http_request *request,
			     struct http_answer *ret);

struct http_server_options {
	const char *listen; /* see address.h */
	struct http_access_options access;
	const char *cert_path, *key_path; /* both or neither: TLS */
	const char *group;		  /* whose members may use the unix socket, too; NULL */
	http_handler handler;		  /* in the connection's thread */
	bool (*is_well)(void *context);	  /* for /healthz, asked by anybody; NULL: always */
	void *context;			  /* of both */
	uint64_t receive_ns, send_ns, send_bytes_per_second; /* 0: the defaults above */
};

/* Strings are borrowed. */
int http_server_new(const struct http_server_options *options, struct http_server **ret,
		    struct dhat_error *err);
/* Cuts the connections and waits for their threads. */
void http_server_free(struct http_server *server);
/* The token and the certificate are read again: for requests from now on; what is on its way goes
 * on. On failure all is as before. One thread at a time. */
int http_server_renew(struct http_server *server, struct dhat_error *err);
/* For a person: "http://127.0.0.1:9664/", or the path. */
const char *http_server_url(const struct http_server *server);
