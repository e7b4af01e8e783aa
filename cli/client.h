#pragma once
/* client: dhatctl's side of the socket. */
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/profile/snapshot_view.h"
#include "proto/wire/dhat.pb-c.h"

#define CLIENT_SEND_NS 10000000000ull
/* Naming the frames of a large program for the first time takes a while. */
#define CLIENT_RECEIVE_NS 300000000000ull

struct client;

int client_new(const char *socket_path, struct client **ret, struct dhat_error *err);
void client_free(struct client *client);

/* Sends the request; sets its protocol version. */
int client_ask(struct client *client, Dhat__Request *request, struct dhat_error *err);
/* The next response, for the caller to free by dhat__response__free_unpacked(). An error response
 * fills err with what the daemon said, and is not returned. */
int client_receive(struct client *client, Dhat__Response **ret, struct dhat_error *err);

/* How long the two below ask again while no dhatd answers, or it has not got to what they ask for:
 * an attach is under way, or no such process is attached yet. 0, the default: not at all. */
#define CLIENT_MAX_PATIENCE_SECONDS 86400
void client_set_patience(uint64_t seconds);
/* For an answer that says itself that it is too early: when patience that begins now ends; and, a
 * moment later, whether to ask again (false at once, if not). */
uint64_t client_patience_end(void);
bool client_is_patient(uint64_t end_ns);

/* An answer to a snapshot's request, for those who do something else meanwhile: when the descriptor
 * is readable, one part of it is taken. *is_last: there are no more. */
int client_fd(const struct client *client);
int client_receive_part(struct client *client, struct dhat_snapshot *snapshot, bool *is_last,
			struct dhat_error *err);

/* A request with one response of a known kind. */
int client_call(const char *socket_path, Dhat__Request *request, Dhat__Response__BodyCase expected,
		Dhat__Response **ret, struct dhat_error *err);
/* What dhatd watches: with patience, when it is attaching to nothing any more. The caller frees the
 * response. */
int client_status(const char *socket_path, Dhat__Response **ret, struct dhat_error *err);
/* There may be more targets in a moment: one is being attached to, or dhatd has only begun. */
bool client_is_early(const Dhat__Status *status);
/* The caller frees the snapshot. */
int client_profile(const char *socket_path, uint32_t pid, struct dhat_snapshot **ret,
		   struct dhat_error *err); /* pid 0: of the only target */
int client_snapshot(const char *socket_path, const Dhat__SnapshotRequest *wanted,
		    struct dhat_snapshot **ret, struct dhat_error *err);
/* What has changed since the view's last answer; all of it at first. pid as above. */
int client_view(const char *socket_path, uint32_t pid, struct dhat_view *view,
		struct dhat_error *err);
