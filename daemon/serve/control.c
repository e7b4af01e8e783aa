#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "local_socket.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/qualifiers.h"
#include "proto/wire/frame.h"

#define NO_DESCRIPTOR_MS 100 /* until it is worth while to try again */
#define GONE_MS 100	     /* between looks at whether peers are still there */

struct place {
	int fd; /* -1: free */
	uid_t uid;
	bool is_owner; /* or root */
};

struct control {
	const struct control_entry *table;
	void *context;
	uint64_t receive_ns, send_ns, answer_ns;
	struct peers peers;
	struct local_socket socket;
	int stop_fd;
	int spare_fd; /* given up for a moment when there are no more descriptors */
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t is_idle;
	struct place places[CONTROL_MAX_CONNECTIONS];
	unsigned connection_count;
	atomic_bool gone[CONTROL_MAX_CONNECTIONS]; /* the peer; raised with `mutex`, read without */
};

struct control_reply {
	struct control *control;
	const atomic_bool *gone; /* see control_peer_gone() */
	int fd;
	bool is_owner;	 /* the peer is the owner, or root */
	uint64_t end_ns; /* of the whole answer at the latest */
	bool has_ended;	 /* the last response was sent */
	bool is_broken;	 /* a response could not be sent: nothing more goes that way */
};

struct connection { /* what a new thread needs to know */
	struct control *control;
	size_t place;
	struct ucred peer;
};

/* ---- answers ------------------------------------------------------------------------------- */

int control_reply(struct control_reply *reply, Dhat__Response *response, struct dhat_error *err)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC), deadline_ns = now + reply->control->send_ns;
	int r;

	if (response->is_last)
		reply->has_ended = true;
	if (deadline_ns > reply->end_ns)
		deadline_ns = reply->end_ns;
	if (now >= deadline_ns)
		r = dhat_error_set(err, ETIMEDOUT, DHAT_EXIT_PROTOCOL,
				   "the other side is too slow");
	else
		r = dhat_frame_send_message(reply->fd, &response->base, DHAT_FRAME_RESPONSE_MAX,
					    deadline_ns, err);
	/* too long a response was not begun: an error can still be sent */
	if (r < 0 && r != -EMSGSIZE)
		reply->is_broken = true;
	return r;
}

bool control_peer_is_owner(const struct control_reply *reply)
{
	return reply->is_owner;
}

const atomic_bool *control_peer_gone(const struct control_reply *reply)
{
	return reply->gone;
}

/* deadline_ns 0: only what fits into the socket's buffer; never waits. */
static int send_error(int fd, int code, const char *message, uint64_t deadline_ns)
{
	Dhat__Response response = DHAT__RESPONSE__INIT;
	Dhat__Error error = DHAT__ERROR__INIT;

	error.exit_code = code ? code : DHAT_EXIT_FAILED;
	error.message = without_qualifiers(message);
	response.is_last = true;
	response.body_case = DHAT__RESPONSE__BODY_ERROR;
	response.error = &error;
	return dhat_frame_send_message(fd, &response.base, DHAT_FRAME_RESPONSE_MAX, deadline_ns,
				       NULL);
}

static int reply_error(struct control_reply *reply, const struct dhat_error *err)
{
	reply->has_ended = true;
	return send_error(reply->fd, err->code, *err->message ? err->message : "the request failed",
			  clock_now_ns(CLOCK_MONOTONIC) + reply->control->send_ns);
}

static int reply_done(struct control_reply *reply)
{
	Dhat__Response response = DHAT__RESPONSE__INIT;
	Dhat__Done done = DHAT__DONE__INIT;

	response.is_last = true;
	response.body_case = DHAT__RESPONSE__BODY_DONE;
	response.done = &done;
	return control_reply(reply, &response, NULL);
}

/* ---- requests ------------------------------------------------------------------------------ */

static int find_entry(const struct control_reply *reply, const Dhat__Request *request,
		      const struct control_entry **ret, struct dhat_error *err)
{
	const struct control_entry *entry = reply->control->table;

	if (request->protocol_version != DHAT_PROTOCOL_VERSION)
		return dhat_error_set(err, EPROTO, DHAT_EXIT_PROTOCOL,
				      "dhatd " DHAT_VERSION " speaks protocol %d, the request is "
				      "of protocol %u: use the dhatctl that came with this dhatd",
				      DHAT_PROTOCOL_VERSION, request->protocol_version);
	for (; entry->kind && entry->kind != request->body_case; entry++)
		;
	if (!entry->kind || request->body_case == DHAT__REQUEST__BODY__NOT_SET)
		return dhat_error_set(err, EPROTO, DHAT_EXIT_PROTOCOL,
				      "dhatd " DHAT_VERSION " does not know this request: use the "
				      "dhatctl that came with this dhatd");
	if (entry->right == CONTROL_MANAGE && !reply->is_owner)
		return dhat_error_set(err, EPERM, DHAT_EXIT_NOT_PERMITTED,
				      "not permitted: members of the group may look, only root "
				      "and the user who started dhatd may attach, detach and mark");
	*ret = entry;
	return 0;
}

/* An error: the connection is of no more use. */
static int answer(struct control_reply *reply, const Dhat__Request *request)
{
	const struct control_entry *entry = NULL;
	struct dhat_error err = { 0 };
	int r;

	reply->has_ended = reply->is_broken = false;
	reply->end_ns = clock_now_ns(CLOCK_MONOTONIC) + reply->control->answer_ns;
	r = find_entry(reply, request, &entry, &err);
	if (!entry) {
		reply_error(reply, &err);
		return r;
	}
	r = entry->handler(reply->control->context, request, reply, &err);
	if (reply->has_ended || reply->is_broken)
		return r < 0 || reply->is_broken ? -EPIPE : 0;
	return r < 0 ? reply_error(reply, &err) : reply_done(reply);
}

/* One request; an error ends the connection. */
static int serve_request(struct control_reply *reply)
{
	_cleanup_free_ uint8_t *payload = NULL;
	struct control *control = reply->control;
	struct dhat_error err = { 0 };
	Dhat__Request *request;
	size_t size;
	int r;

	r = dhat_frame_receive(reply->fd, DHAT_FRAME_REQUEST_MAX,
			       clock_now_ns(CLOCK_MONOTONIC) + control->receive_ns, &payload, &size,
			       &err);
	if (r == -EMSGSIZE)
		reply_error(reply, &err);
	if (r < 0)
		return r;
	request = (Dhat__Request *)dhat_frame_unpack(&dhat__request__descriptor, payload, size);
	if (!request) {
		dhat_error_set(&err, EPROTO, DHAT_EXIT_PROTOCOL, "this is no request of dhatctl's");
		reply_error(reply, &err);
		return -EPROTO;
	}
	r = answer(reply, request);
	protobuf_c_message_free_unpacked(&request->base, NULL);
	return r;
}

static void release_place(struct control *control, size_t place)
{
	pthread_mutex_lock(&control->mutex);
	close(control->places[place].fd);
	control->places[place].fd = -1;
	control->connection_count--;
	pthread_cond_signal(&control->is_idle);
	pthread_mutex_unlock(&control->mutex);
}

static void *connection_thread(void *connection_)
{
	_cleanup_free_ struct connection *connection = connection_;
	struct control *control = connection->control;
	struct control_reply reply = {
		.control = control,
		.gone = &control->gone[connection->place],
		.fd = control->places[connection->place].fd,
		.is_owner = peers_is_owner(&control->peers, connection->peer.uid),
	};

	while (serve_request(&reply) == 0)
		;
	release_place(control, connection->place);
	return NULL;
}

/* ---- connections --------------------------------------------------------------------------- */

/* Signals are the main thread's. */
static int start_thread(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			void *argument)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(thread, attr, run, argument);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

/* With `mutex`. The group's members must leave places for the owner, and for each other. */
static bool may_have_place(const struct control *control, const struct place *place)
{
	unsigned members = 0, own = 0;

	if (place->is_owner)
		return true;
	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS; i++) {
		const struct place *taken = &control->places[i];

		if (taken->fd < 0 || taken->is_owner)
			continue;
		members++;
		own += taken->uid == place->uid;
	}
	return members < CONTROL_MAX_CONNECTIONS - CONTROL_OWNER_PLACES &&
	       own < CONTROL_MEMBER_PLACES;
}

/* On success the place owns the fd. */
static int take_place(struct control *control, const struct place *place, size_t *ret)
{
	int r = -EBUSY;

	pthread_mutex_lock(&control->mutex);
	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS && may_have_place(control, place); i++) {
		if (control->places[i].fd >= 0)
			continue;
		control->places[i] = *place;
		atomic_store(&control->gone[i], false);
		control->connection_count++;
		*ret = i;
		r = 0;
		break;
	}
	pthread_mutex_unlock(&control->mutex);
	return r;
}

static int start_connection(struct control *control, size_t place, const struct ucred *peer)
{
	struct connection *connection = malloc(sizeof(*connection));
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (!connection)
		return -ENOMEM;
	*connection = (struct connection){ control, place, *peer };
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = start_thread(&thread, &attr, connection_thread, connection);
	pthread_attr_destroy(&attr);
	if (r < 0)
		free(connection);
	return r;
}

static int open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Who waits to be accepted keeps the socket readable: without descriptors poll() would return at
 * once, for ever. So the spare one is given up for an answer. */
static void turn_away(struct control *control)
{
	_cleanup_close_ int fd = -1;
	struct pollfd stop = { .fd = control->stop_fd, .events = POLLIN };

	if (control->spare_fd >= 0)
		close(control->spare_fd);
	control->spare_fd = -1;
	fd = accept4(control->socket.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		send_error(
			fd, DHAT_EXIT_FAILED,
			"dhatd is busy: it has no file descriptors left; try again, or raise its "
			"limit of open files",
			0);
	else if (errno != EAGAIN) /* somebody else took the descriptor */
		poll(&stop, 1, NO_DESCRIPTOR_MS);
	cleanup_close_fd(&fd);
	fd = -1;
	control->spare_fd = open_spare();
}

static void accept_one(struct control *control)
{
	_cleanup_close_ int fd = -1;
	struct ucred peer;
	socklen_t size = sizeof(peer);
	struct place wanted;
	size_t place;

	fd = accept4(control->socket.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
		turn_away(control);
	if (fd < 0)
		return; /* gone again, or turned away */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return;
	if (!peers_may_connect(&control->peers, fd, &peer)) {
		send_error(fd, DHAT_EXIT_NOT_PERMITTED,
			   "not permitted: dhatd answers root and the user who started it "
			   "(dhatd --group lets more people in)",
			   0);
		return;
	}
	wanted = (struct place){ fd, peer.uid, peers_is_owner(&control->peers, peer.uid) };
	if (take_place(control, &wanted, &place) < 0) {
		send_error(fd, DHAT_EXIT_FAILED, "dhatd is busy: too many connections; try again",
			   0);
		return;
	}
	take_fd(fd);
	if (start_connection(control, place, &peer) < 0)
		release_place(control, place);
}

/* Looked at now and then, and not waited for: a socket that somebody polls does not close. Half a
 * connection, whose other half still wants its answer, is one. */
static bool look_for_gone(struct control *control)
{
	bool is_any = false;

	pthread_mutex_lock(&control->mutex);
	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS; i++) {
		struct pollfd peer = { .fd = control->places[i].fd };

		is_any |= peer.fd >= 0;
		if (peer.fd >= 0 && poll(&peer, 1, 0) == 1 && peer.revents & (POLLHUP | POLLERR))
			atomic_store(&control->gone[i], true);
	}
	pthread_mutex_unlock(&control->mutex);
	return is_any;
}

static void *accept_thread(void *control_)
{
	struct control *control = control_;
	struct pollfd pollfds[] = {
		{ .fd = control->socket.fd, .events = POLLIN },
		{ .fd = control->stop_fd, .events = POLLIN },
	};

	for (;;) {
		if (poll(pollfds, ARRAY_SIZE(pollfds), look_for_gone(control) ? GONE_MS : -1) <= 0)
			continue;
		if (pollfds[1].revents)
			return NULL;
		if (pollfds[0].revents)
			accept_one(control);
	}
}

/* ---- the whole ----------------------------------------------------------------------------- */

static int control_init(struct control *control, const struct control_options *options,
			struct dhat_error *err)
{
	int r;

	control->table = options->table;
	control->context = options->context;
	control->receive_ns = options->receive_ns ? options->receive_ns : CONTROL_RECEIVE_NS;
	control->send_ns = options->send_ns ? options->send_ns : CONTROL_SEND_NS;
	control->answer_ns = options->answer_ns ? options->answer_ns : CONTROL_ANSWER_NS;
	r = peers_init(&control->peers, options->group, err);
	if (r == 0 && options->listening_fd)
		r = local_socket_share(&control->socket, options->listening_fd, err);
	else if (r == 0)
		r = local_socket_init(&control->socket, options->path, &control->peers, "--socket",
				      CONTROL_MAX_CONNECTIONS, err);
	if (r < 0)
		return r;
	control->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (control->stop_fd < 0)
		return dhat_error_errno(err, errno, "cannot make an event descriptor");
	r = start_thread(&control->thread, NULL, accept_thread, control);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot start a thread");
	control->has_thread = true;
	return 0;
}

int control_new(const struct control_options *options, struct control **ret, struct dhat_error *err)
{
	struct control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return dhat_error_errno(err, ENOMEM, "cannot serve %s", options->path);
	control->socket = LOCAL_SOCKET_NONE;
	control->stop_fd = -1;
	control->spare_fd = open_spare();
	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS; i++)
		control->places[i].fd = -1;
	pthread_mutex_init(&control->mutex, NULL);
	pthread_cond_init(&control->is_idle, NULL);
	r = control_init(control, options, err);
	if (r < 0) {
		control_free(control);
		return r;
	}
	*ret = control;
	return 0;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	if (control->has_thread) {
		eventfd_write(control->stop_fd, 1);
		pthread_join(control->thread, NULL);
	}
	pthread_mutex_lock(&control->mutex);
	for (size_t i = 0; i < CONTROL_MAX_CONNECTIONS; i++) {
		atomic_store(&control->gone[i], true);
		if (control->places[i].fd >= 0)
			shutdown(control->places[i].fd, SHUT_RDWR);
	}
	while (control->connection_count)
		pthread_cond_wait(&control->is_idle, &control->mutex);
	pthread_mutex_unlock(&control->mutex);
	local_socket_deinit(&control->socket);
	if (control->stop_fd >= 0)
		close(control->stop_fd);
	if (control->spare_fd >= 0)
		close(control->spare_fd);
	pthread_cond_destroy(&control->is_idle);
	pthread_mutex_destroy(&control->mutex);
	free(control);
}
