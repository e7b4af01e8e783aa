#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/serve/local_socket.h"
#include "engine.h"
#include "peer.h"
#include "places.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/secret.h"

#define LOOK_MS 100	     /* between looks at deadlines, and whether peers are still there */
#define NO_DESCRIPTOR_MS 100 /* until it is worth while to try again */
#define STACK_BYTES (512u << 10)
/* A thread of a connection holds a target's lock for moments: it must not starve there. */
#define LOW_PRIORITY 5

struct http_server {
	struct http_address address;
	struct http_access access; /* its token: with `mutex` */
	struct peers peers;
	struct local_socket local;
	int tcp_fd, stop_fd;
	http_handler handler;
	bool (*is_well)(void *context);
	void *context;
	uint64_t receive_ns, send_ns, send_bytes_per_second;
	char url[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 32];
	const char *token_path; /* NULL: none; borrowed */
	struct engine engine;
	pthread_t thread;
	bool has_thread;
	atomic_size_t held_bytes;

	struct http_places places;
	pthread_mutex_t mutex; /* guards the token */
};

/* A body that is held until it has been taken. */
struct held {
	struct http_server *server;
	char *body;
	size_t size;
};

/* ---- answers ------------------------------------------------------------------------------- */

const char *http_request_argument(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

bool http_request_has_room(const struct http_request *request)
{
	return atomic_load(&request->server->held_bytes) <= HTTP_HELD_BYTES;
}

static void free_held(void *held_)
{
	struct held *held = held_;

	atomic_fetch_sub(&held->server->held_bytes, held->size);
	free(held->body);
	free(held);
}

/* The body is taken over. */
static struct MHD_Response *response_of(struct http_server *server, struct http_answer *answer)
{
	struct held *held = malloc(sizeof(*held));
	struct MHD_Response *response;

	if (!held) {
		free(take_ptr(answer->body));
		return NULL;
	}
	*held = (struct held){ server, take_ptr(answer->body), answer->size };
	atomic_fetch_add(&server->held_bytes, held->size);
	response = MHD_create_response_from_buffer_with_free_callback_cls(held->size, held->body,
									  free_held, held);
	if (!response)
		free_held(held);
	return response;
}

/* What is answered is for who asked, and no other page may show, keep or read it. */
static void add_headers(struct MHD_Response *response, const struct http_answer *answer)
{
	static const struct {
		const char *name, *value;
	} always[] = {
		{ "Connection", "close" },
		{ "Cache-Control", "no-store" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "X-Frame-Options", "DENY" },
		{ "Referrer-Policy", "no-referrer" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
		{ "Cross-Origin-Opener-Policy", "same-origin" },
	};
	char disposition[160];

	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		MHD_add_response_header(response, always[i].name, always[i].value);
	MHD_add_response_header(response, "Content-Type", answer->type);
	MHD_add_response_header(response, "Content-Security-Policy",
				answer->policy ?: "default-src 'none'");
	if (answer->status == 401)
		MHD_add_response_header(response, "WWW-Authenticate", "Basic realm=\"dhatd\"");
	if (answer->status == 405)
		MHD_add_response_header(response, "Allow", "GET, HEAD");
	if (answer->status == 503)
		MHD_add_response_header(response, "Retry-After", "5");
	if (!*answer->file_name)
		return;
	snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s\"",
		 answer->file_name);
	MHD_add_response_header(response, "Content-Disposition", disposition);
}

static enum MHD_Result send_answer(struct http_server *server, struct MHD_Connection *connection,
				   int fd, struct http_answer *answer)
{
	uint64_t ns =
		server->send_ns + answer->size * 1000000000ull / server->send_bytes_per_second;
	unsigned status = answer->status;
	struct MHD_Response *response;
	enum MHD_Result r;
	size_t place;

	response = response_of(server, answer);
	if (!response)
		return MHD_NO;
	add_headers(response, answer);
	r = http_places_extend(&server->places, fd, ns, &place)
		    ? MHD_queue_response(connection, status, response)
		    : MHD_NO;
	MHD_destroy_response(response);
	return r;
}

static void say(struct http_answer *answer, unsigned status, const char *text)
{
	free(answer->body);
	*answer = (struct http_answer){ .status = status, .type = "text/plain; charset=utf-8" };
	if (asprintf(&answer->body, "%s\n", text) < 0)
		answer->body = NULL;
	answer->size = answer->body ? strlen(answer->body) : 0;
}

/* ---- requests ------------------------------------------------------------------------------ */

static const char *header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static char *basic_password(struct MHD_Connection *connection)
{
	char *password = NULL, *name;

	/* libmicrohttpd 1.0 has another of a longer name, which 0.9.75 has not */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	name = MHD_basic_auth_get_username_password(connection, &password);
#pragma GCC diagnostic pop
	MHD_free(name);
	return password;
}

static unsigned check_access(struct http_server *server, struct MHD_Connection *connection,
			     bool is_owner, const char **ret_reason)
{
	static const char bearer[] = "Bearer ";
	const char *authorization = header(connection, "Authorization");
	char *password = NULL;
	struct http_access access;
	struct http_claim claim = {
		.host = header(connection, "Host"),
		.origin = header(connection, "Origin"),
		.fetch_site = header(connection, "Sec-Fetch-Site"),
		.is_owner = is_owner,
	};
	unsigned status;

	if (authorization && strncmp(authorization, bearer, strlen(bearer)) == 0)
		claim.bearer = authorization + strlen(bearer);
	else if (authorization)
		claim.password = password = basic_password(connection);
	pthread_mutex_lock(&server->mutex);
	access = server->access;
	pthread_mutex_unlock(&server->mutex);
	status = http_access_check(&access, &claim, ret_reason);
	explicit_bzero(&access, sizeof(access));
	MHD_free(password);
	return status;
}

static void answer_health(const struct http_server *server, struct http_answer *answer)
{
	if (server->is_well && !server->is_well(server->context))
		say(answer, 503, "what its targets do is not counted any more: restart dhatd");
	else
		say(answer, 200, "ok");
}

/* To the server's end everything that comes is refused before the handler. */
static void answer_request(struct http_server *server, struct MHD_Connection *connection,
			   const struct http_request *request, bool is_owner,
			   struct http_answer *answer)
{
	const char *reason = NULL;
	unsigned status;

	if (strcmp(request->path, "/healthz") == 0) {
		answer_health(server, answer);
		return;
	}
	status = check_access(server, connection, is_owner, &reason);
	if (status != 200) {
		say(answer, status, reason);
		return;
	}
	if (!http_request_has_room(request)) {
		say(answer, 503, HTTP_NO_ROOM);
		return;
	}
	server->handler(server->context, request, answer);
}

static int fd_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

/* Called once for the head of a request, and again for its body and its end. */
static enum MHD_Result on_request(void *server_, struct MHD_Connection *connection,
				  const char *path, const char *method, const char *version,
				  const char *upload, size_t *upload_size, void **memory)
{
	static int was_here;
	struct http_server *server = server_;
	struct http_request request = { .path = path, .connection = connection, .server = server };
	struct http_answer answer = { 0 };
	int fd = fd_of(connection);
	size_t place;

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		say(&answer, 405, "only GET and HEAD");
		return send_answer(server, connection, fd, &answer);
	}
	if (!*memory) {
		*memory = &was_here;
		return MHD_YES;
	}
	if (*upload_size) {
		*upload_size = 0;
		return MHD_NO; /* a GET with a body */
	}
	if (!http_places_extend(&server->places, fd, HTTP_ANSWER_NS, &place))
		return MHD_NO;
	setpriority(PRIO_PROCESS, syscall(SYS_gettid), LOW_PRIORITY);
	request.gone = &server->places.gone[place];
	answer_request(server, connection, &request, server->places.list[place].is_owner, &answer);
	if (!answer.status)
		say(&answer, 500, "dhatd is short of memory");
	return send_answer(server, connection, fd, &answer);
}

static void on_connection(void *server_, struct MHD_Connection *connection, void **memory,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_server *server = server_;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED)
		http_places_release(&server->places, fd_of(connection));
}

/* ---- connections --------------------------------------------------------------------------- */

/* By hand, and without waiting: it has no place, and so no thread. TLS has no words for it. */
static void turn_away(const struct http_server *server, int fd)
{
	static const char body[] = "dhatd is busy: too many connections; try again\n";
	char text[256];
	int size = snprintf(text, sizeof(text),
			    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
			    "Retry-After: 5\r\nContent-Type: text/plain\r\n"
			    "Content-Length: %zu\r\n\r\n%s",
			    strlen(body), body);

	if (!engine_has_tls(&server->engine))
		send(fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool may_connect(const struct http_server *server, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (!server->address.path)
		return true;
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       peers_may_connect(&server->peers, fd, &peer);
}

static void accept_one(struct http_server *server, int listen_fd)
{
	struct http_place wanted = { .deadline_ns =
					     clock_now_ns(CLOCK_MONOTONIC) + server->receive_ns };
	struct pollfd stop = { .fd = server->stop_fd, .events = POLLIN };
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	_cleanup_close_ int fd = accept4(listen_fd, (struct sockaddr *)&address, &size,
					 SOCK_CLOEXEC | SOCK_NONBLOCK);

	/* who waits keeps the socket readable: without descriptors poll() would not wait */
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		poll(&stop, 1, NO_DESCRIPTOR_MS);
	if (fd < 0 || !may_connect(server, fd))
		return;
	http_peer_of(fd, &wanted.peer);
	wanted.fd = fd;
	wanted.is_owner = wanted.peer.is_known && peers_is_owner(&server->peers, wanted.peer.uid);
	if (!http_places_take(&server->places, &wanted)) {
		turn_away(server, fd);
		return;
	}
	take_fd(fd); /* libmicrohttpd's, be it refused or not */
	if (!engine_add(&server->engine, wanted.fd, (struct sockaddr *)&address, size))
		http_places_release(&server->places, wanted.fd);
}

static void *accept_thread(void *server_)
{
	struct http_server *server = server_;
	int listen_fd = server->address.path ? server->local.fd : server->tcp_fd;
	struct pollfd pollfds[] = {
		{ .fd = listen_fd, .events = POLLIN },
		{ .fd = server->stop_fd, .events = POLLIN },
	};

	for (;;) {
		bool is_any = http_places_look(&server->places, false);

		if (poll(pollfds, ARRAY_SIZE(pollfds), is_any ? LOOK_MS : -1) <= 0)
			continue;
		if (pollfds[1].revents)
			return NULL;
		if (pollfds[0].revents)
			accept_one(server, listen_fd);
	}
}

/* ---- the whole ----------------------------------------------------------------------------- */

static int bind_tcp(struct http_server *server, const char *text, struct dhat_error *err)
{
	const struct http_address *address = &server->address;
	const int yes = 1;
	struct sockaddr_storage bound = { 0 };
	socklen_t size = sizeof(bound);
	char name[HTTP_ADDRESS_CHARS];

	server->tcp_fd =
		socket(address->tcp.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->tcp_fd < 0)
		return dhat_error_errno(err, errno, "cannot make a socket");
	setsockopt(server->tcp_fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(server->tcp_fd, (const struct sockaddr *)&address->tcp, address->tcp_size) < 0 ||
	    listen(server->tcp_fd, HTTP_MAX_CONNECTIONS) < 0 ||
	    getsockname(server->tcp_fd, (struct sockaddr *)&bound, &size) < 0)
		return dhat_error_set(
			err, errno,
			errno == EADDRINUSE ? DHAT_EXIT_ALREADY : dhat_exit_of_errno(errno),
			"cannot listen at %s: %s; give another --listen", text, strerror(errno));
	http_address_print(&bound, name);
	snprintf(server->url, sizeof(server->url), "%s://%s/",
		 engine_has_tls(&server->engine) ? "https" : "http", name);
	return 0;
}

static int bind_address(struct http_server *server, const char *text, struct dhat_error *err)
{
	if (!server->address.path)
		return bind_tcp(server, text, err);
	snprintf(server->url, sizeof(server->url), "%s", server->address.path);
	return local_socket_init(&server->local, server->address.path, &server->peers, "--listen",
				 HTTP_MAX_CONNECTIONS, err);
}

static int start_engine(struct http_server *server, const struct http_server_options *options,
			struct dhat_error *err)
{
	const struct engine_options engine = {
		.cert_path = options->cert_path,
		.key_path = options->key_path,
		.connections = HTTP_MAX_CONNECTIONS,
		.request_bytes = HTTP_REQUEST_BYTES,
		.stack_bytes = STACK_BYTES,
		.on_request = on_request,
		.on_connection = on_connection,
		.context = server,
	};

	return engine_init(&server->engine, &engine, err);
}

static int server_init(struct http_server *server, const struct http_server_options *options,
		       struct dhat_error *err)
{
	struct http_access_options access = options->access;
	int r = http_address_parse(options->listen, &server->address, err);

	access.has_tls = options->cert_path;
	if (r == 0)
		r = http_access_init(&server->access, &server->address, &access, err);
	if (r == 0)
		r = peers_init(&server->peers, options->group, err);
	if (r == 0)
		r = start_engine(server, options, err);
	if (r == 0)
		r = bind_address(server, options->listen, err);
	if (r < 0)
		return r;
	server->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (server->stop_fd < 0)
		return dhat_error_errno(err, errno, "cannot make an event descriptor");
	r = -pthread_create(&server->thread, NULL, accept_thread, server);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot start a thread");
	server->has_thread = true;
	return 0;
}

int http_server_new(const struct http_server_options *options, struct http_server **ret,
		    struct dhat_error *err)
{
	struct http_server *server = calloc(1, sizeof(*server));
	sigset_t all, old;
	int r;

	if (!server)
		return dhat_error_errno(err, ENOMEM, "cannot serve %s", options->listen);
	server->local = LOCAL_SOCKET_NONE;
	server->tcp_fd = server->stop_fd = -1;
	http_places_init(&server->places);
	pthread_mutex_init(&server->mutex, NULL);
	server->token_path = options->access.token_path;
	server->handler = options->handler;
	server->is_well = options->is_well;
	server->context = options->context;
	server->receive_ns = options->receive_ns ?: HTTP_RECEIVE_NS;
	server->send_ns = options->send_ns ?: HTTP_SEND_NS;
	server->send_bytes_per_second =
		options->send_bytes_per_second ?: HTTP_SEND_BYTES_PER_SECOND;
	/* signals are the main thread's; threads inherit that */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = server_init(server, options, err);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r < 0) {
		http_server_free(server);
		return r;
	}
	*ret = server;
	return 0;
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	if (server->has_thread) {
		eventfd_write(server->stop_fd, 1);
		pthread_join(server->thread, NULL);
	}
	http_places_look(&server->places, true);
	engine_deinit(&server->engine);
	local_socket_deinit(&server->local);
	if (server->tcp_fd >= 0)
		close(server->tcp_fd);
	if (server->stop_fd >= 0)
		close(server->stop_fd);
	explicit_bzero(&server->access, sizeof(server->access));
	pthread_mutex_destroy(&server->mutex);
	http_places_deinit(&server->places);
	free(server);
}

int http_server_renew(struct http_server *server, struct dhat_error *err)
{
	char token[HTTP_TOKEN_MAX + 2];
	int r = 0;

	if (server->token_path)
		r = secret_read(server->token_path, HTTP_TOKEN_MIN, HTTP_TOKEN_MAX, token, err);
	if (r == 0)
		r = engine_renew(&server->engine, err);
	if (r == 0 && server->token_path) {
		pthread_mutex_lock(&server->mutex);
		memcpy(server->access.token, token, sizeof(token));
		pthread_mutex_unlock(&server->mutex);
	}
	explicit_bzero(token, sizeof(token));
	return r;
}

const char *http_server_url(const struct http_server *server)
{
	return server->url;
}
