#pragma once
/* engine: libmicrohttpd at work, which is given connections one by one; with TLS by the certificate
 * of now.
 *
 * A certificate can be renewed: connections that have begun go on by the one they know, at most
 * ENGINE_EARLIER of such at a time.
 */
#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>

#include "proto/base/error.h"

#define ENGINE_EARLIER 4

struct engine_options {			  /* texts and context are borrowed */
	const char *cert_path, *key_path; /* both or neither: TLS */
	unsigned connections;
	size_t request_bytes, stack_bytes;
	MHD_AccessHandlerCallback on_request;
	MHD_NotifyConnectionCallback on_connection;
	void *context; /* of both */
};

struct engine_part {
	struct MHD_Daemon *mhd; /* NULL: none */
	char *cert, *key;	/* PEM; NULL: no TLS */
};

struct engine { /* zeroed */
	struct engine_options options;
	pthread_mutex_t lock; /* guards `now` */
	bool has_lock;
	struct engine_part now, earlier[ENGINE_EARLIER];
};

int engine_init(struct engine *engine, const struct engine_options *options,
		struct dhat_error *err);
/* Cuts nothing itself: whoever has the connections has done that. One that was only zeroed is fine.
 */
void engine_deinit(struct engine *engine);
/* Reads the files again. On failure, also when too many answers are still on their way by earlier
 * certificates, all is as before. One thread at a time. Without TLS nothing happens. */
int engine_renew(struct engine *engine, struct dhat_error *err);

static inline bool engine_has_tls(const struct engine *engine)
{
	return engine->options.cert_path;
}
/* The descriptor is the engine's from then on, whatever is returned; false: it was not taken. */
bool engine_add(struct engine *engine, int fd, const struct sockaddr *address, socklen_t size);
