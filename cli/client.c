#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/qualifiers.h"
#include "proto/base/text.h"
#include "proto/wire/frame.h"

struct client {
	int fd;
};

DEFINE_CLEANUP_PTR(struct client *, client_free)
DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

void client_free(struct client *client)
{
	if (!client)
		return;
	close(client->fd);
	free(client);
}

static int connect_error(const char *path, int error, struct dhat_error *err)
{
	if (error == ENOENT || error == ECONNREFUSED || error == ENOTSOCK)
		return dhat_error_set(err, error, DHAT_EXIT_NO_DAEMON,
				      "no dhatd answers at %s: start one by `sudo dhatd attach "
				      "--pid N', or say where it is by --socket or DHATD_SOCKET",
				      path);
	if (error == EACCES || error == EPERM)
		return dhat_error_set(err, error, DHAT_EXIT_NOT_PERMITTED,
				      "not permitted to ask the dhatd at %s: be root or the user "
				      "who started it (dhatd --group lets more people in)",
				      path);
	return dhat_error_errno(err, error, "cannot reach the dhatd at %s", path);
}

int client_new(const char *socket_path, struct client **ret, struct dhat_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	struct client *client;

	if (!*socket_path || strlen(socket_path) >= sizeof(address.sun_path))
		return dhat_error_set(err, ENAMETOOLONG, DHAT_EXIT_USAGE,
				      "the socket's path is too long or empty, at most %zu "
				      "characters: %s",
				      sizeof(address.sun_path) - 1, socket_path);
	strcpy(address.sun_path, socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return dhat_error_errno(err, errno, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return connect_error(socket_path, errno, err);
	client = malloc(sizeof(*client));
	if (!client)
		return dhat_error_errno(err, ENOMEM, "cannot reach dhatd");
	client->fd = take_fd(fd);
	*ret = client;
	return 0;
}

int client_ask(struct client *client, Dhat__Request *request, struct dhat_error *err)
{
	int r;

	request->protocol_version = DHAT_PROTOCOL_VERSION;
	r = dhat_frame_send_message(client->fd, &request->base, DHAT_FRAME_REQUEST_MAX,
				    clock_now_ns(CLOCK_MONOTONIC) + CLIENT_SEND_NS, NULL);
	/* a dhatd that refuses us has closed its end already: the answer says why */
	if (r == -EPIPE)
		return 0;
	return r < 0 ? dhat_error_errno(err, -r, "cannot ask dhatd") : 0;
}

static int take_error(const Dhat__Error *error, struct dhat_error *err)
{
	_cleanup_free_ char *message = dhat_text_clean(error->message);

	return dhat_error_set(err, EREMOTEIO,
			      error->exit_code ? error->exit_code : DHAT_EXIT_FAILED, "%s",
			      message ? message : "dhatd reports an error");
}

int client_receive(struct client *client, Dhat__Response **ret, struct dhat_error *err)
{
	_cleanup_free_ uint8_t *payload = NULL;
	Dhat__Response *response;
	size_t size;
	int r;

	r = dhat_frame_receive(client->fd, DHAT_FRAME_RESPONSE_MAX,
			       clock_now_ns(CLOCK_MONOTONIC) + CLIENT_RECEIVE_NS, &payload, &size,
			       err);
	if (r == -ENODATA)
		return dhat_error_set(
			err, EPIPE, DHAT_EXIT_PROTOCOL,
			"dhatd closed the connection without an answer: has it ended?");
	if (r < 0)
		return r;
	response = (Dhat__Response *)dhat_frame_unpack(&dhat__response__descriptor, payload, size);
	if (!response)
		return dhat_error_set(err, EPROTO, DHAT_EXIT_PROTOCOL,
				      "dhatd's answer cannot be read: use the dhatctl that came "
				      "with it");
	if (response->body_case == DHAT__RESPONSE__BODY_ERROR) {
		r = take_error(response->error, err);
		dhat__response__free_unpacked(response, NULL);
		return r;
	}
	*ret = response;
	return 0;
}

static int unexpected(struct dhat_error *err)
{
	return dhat_error_set(err, EPROTO, DHAT_EXIT_PROTOCOL,
			      "dhatd's answer is not what was asked for: use the dhatctl that came "
			      "with it");
}

/* ---- patience ------------------------------------------------------------------------------ */

#define ASK_AGAIN_NS 50000000

static uint64_t patience_ns;

void client_set_patience(uint64_t seconds)
{
	patience_ns = seconds * 1000000000;
}

/* Will it be there? What is to be attached to, or planned for, is not waited for: there is no such
 * process. */
static bool may_come(const Dhat__Request *request, const struct dhat_error *err)
{
	if (err->code == DHAT_EXIT_NO_DAEMON || err->code == DHAT_EXIT_NOT_YET)
		return true;
	return err->code == DHAT_EXIT_NO_PROCESS &&
	       (request->body_case == DHAT__REQUEST__BODY_SNAPSHOT ||
		request->body_case == DHAT__REQUEST__BODY_RSS ||
		request->body_case == DHAT__REQUEST__BODY_DETACH);
}

uint64_t client_patience_end(void)
{
	return clock_now_ns(CLOCK_MONOTONIC) + patience_ns;
}

bool client_is_patient(uint64_t end_ns)
{
	const struct timespec interval = { .tv_nsec = ASK_AGAIN_NS };

	if (!patience_ns || clock_now_ns(CLOCK_MONOTONIC) >= end_ns)
		return false;
	nanosleep(&interval, NULL);
	return true;
}

/* After a failure: true when it is time to ask once more; else it is in *err. */
static bool is_patient(const Dhat__Request *request, uint64_t end_ns, const struct dhat_error *why,
		       struct dhat_error *err)
{
	if (may_come(request, why) && client_is_patient(end_ns))
		return true;
	if (why->code)
		dhat_error_set(err, EIO, why->code, "%s", why->message);
	return false;
}

/* ---- asking -------------------------------------------------------------------------------- */

static int try_call(const char *socket_path, Dhat__Request *request,
		    Dhat__Response__BodyCase expected, Dhat__Response **ret, struct dhat_error *err)
{
	_cleanup_(client_free_ptr) struct client *client = NULL;
	Dhat__Response *response = NULL;
	int r;

	r = client_new(socket_path, &client, err);
	if (!client)
		return r;
	r = client_ask(client, request, err);
	if (r == 0)
		r = client_receive(client, &response, err);
	if (!response)
		return r;
	if (response->body_case != expected || !response->is_last) {
		dhat__response__free_unpacked(response, NULL);
		return unexpected(err);
	}
	*ret = response;
	return 0;
}

int client_call(const char *socket_path, Dhat__Request *request, Dhat__Response__BodyCase expected,
		Dhat__Response **ret, struct dhat_error *err)
{
	uint64_t end_ns = client_patience_end();
	struct dhat_error why;
	int r;

	progress_begin("waiting for dhatd", NULL);
	do {
		why = (struct dhat_error){ 0 };
		r = try_call(socket_path, request, expected, ret, &why);
	} while (r < 0 && is_patient(request, end_ns, &why, err));
	progress_end();
	return r;
}

bool client_is_early(const Dhat__Status *status)
{
	return status->n_attaching || status->is_starting;
}

int client_status(const char *socket_path, Dhat__Response **ret, struct dhat_error *err)
{
	Dhat__StatusRequest body = DHAT__STATUS_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;
	uint64_t end_ns = client_patience_end();
	Dhat__Response *response;
	int r;

	request.body_case = DHAT__REQUEST__BODY_STATUS;
	request.status = &body;
	for (;;) {
		r = client_call(socket_path, &request, DHAT__RESPONSE__BODY_STATUS, &response, err);
		if (r < 0)
			return r;
		if (!client_is_early(response->status) || !client_is_patient(end_ns))
			break;
		dhat__response__free_unpacked(response, NULL);
	}
	*ret = response;
	return 0;
}

int client_fd(const struct client *client)
{
	return client->fd;
}

int client_receive_part(struct client *client, struct dhat_snapshot *snapshot, bool *is_last,
			struct dhat_error *err)
{
	Dhat__SnapshotPart *part = NULL;
	Dhat__Response *response = NULL;
	int r;

	r = client_receive(client, &response, err);
	if (!response)
		return r;
	*is_last = response->is_last;
	if (response->body_case == DHAT__RESPONSE__BODY_PROGRESS && !response->is_last) {
		progress_say(response->progress->text);
		dhat__response__free_unpacked(response, NULL);
		return 0;
	}
	if (response->body_case == DHAT__RESPONSE__BODY_SNAPSHOT) {
		part = response->snapshot;
		response->body_case = DHAT__RESPONSE__BODY__NOT_SET;
		response->snapshot = NULL;
	}
	/* the stream may end with an empty Done */
	if (!part && response->body_case != DHAT__RESPONSE__BODY_DONE)
		r = unexpected(err);
	dhat__response__free_unpacked(response, NULL);
	return r < 0 || !part ? r : dhat_snapshot_add(snapshot, part, err);
}

static int snapshot_once(const char *socket_path, Dhat__Request *request,
			 struct dhat_snapshot **ret, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	_cleanup_(client_free_ptr) struct client *client = NULL;
	bool is_last = false;
	int r = client_new(socket_path, &client, err);

	if (!client)
		return r;
	r = client_ask(client, request, err);
	if (r == 0 && dhat_snapshot_new(&snapshot) < 0)
		r = dhat_error_errno(err, ENOMEM, "cannot hold a snapshot");
	while (r == 0 && !is_last)
		r = client_receive_part(client, snapshot, &is_last, err);
	if (r == 0)
		r = dhat_snapshot_finish(snapshot, err);
	if (r < 0)
		return r;
	*ret = take_ptr(snapshot);
	return 0;
}

static int patient_snapshot(const char *socket_path, Dhat__SnapshotRequest *body,
			    struct dhat_snapshot **ret, struct dhat_error *err)
{
	uint64_t end_ns = client_patience_end();
	Dhat__Request request = DHAT__REQUEST__INIT;
	struct dhat_error why;
	int r;

	request.body_case = DHAT__REQUEST__BODY_SNAPSHOT;
	request.snapshot = body;
	do {
		why = (struct dhat_error){ 0 };
		r = snapshot_once(socket_path, &request, ret, &why);
	} while (r < 0 && is_patient(&request, end_ns, &why, err));
	return r;
}

int client_snapshot(const char *socket_path, const Dhat__SnapshotRequest *wanted,
		    struct dhat_snapshot **ret, struct dhat_error *err)
{
	Dhat__SnapshotRequest body = *wanted;
	int r;

	progress_begin("fetching the profile", NULL);
	r = patient_snapshot(socket_path, &body, ret, err);
	progress_end();
	return r;
}

int client_profile(const char *socket_path, uint32_t pid, struct dhat_snapshot **ret,
		   struct dhat_error *err)
{
	Dhat__SnapshotRequest body = DHAT__SNAPSHOT_REQUEST__INIT;

	body.pid = pid;
	return client_snapshot(socket_path, &body, ret, err);
}

int client_view(const char *socket_path, uint32_t pid, struct dhat_view *view,
		struct dhat_error *err)
{
	Dhat__SnapshotRequest body = DHAT__SNAPSHOT_REQUEST__INIT;
	struct dhat_snapshot *answer = NULL;
	Dhat__Seen seen;
	int r;

	body.pid = pid;
	dhat_view_ask(view, &seen);
	body.view = &seen;
	body.with_marks = true;
	r = patient_snapshot(socket_path, &body, &answer, err);
	return r < 0 ? r : dhat_view_take(view, answer, err);
}
