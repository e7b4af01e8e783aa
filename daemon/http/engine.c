#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

#define PEM_BYTES 65536

/* ---- one certificate ----------------------------------------------------------------------- */

/* A PEM file; the caller frees. */
static int read_pem(const char *path, char **ret, struct dhat_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	_cleanup_free_ char *text = calloc(1, PEM_BYTES);
	ssize_t size;

	if (fd < 0)
		return dhat_error_errno(err, errno, "cannot read %s", path);
	if (!text)
		return -ENOMEM;
	size = read(fd, text, PEM_BYTES);
	if (size <= 0 || size == PEM_BYTES)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s is no PEM file of a certificate or key (of at most "
				      "%d bytes)",
				      path, PEM_BYTES - 1);
	*ret = take_ptr(text);
	return 0;
}

static void part_deinit(struct engine_part *part)
{
	if (part->mhd)
		MHD_stop_daemon(part->mhd);
	free(part->cert);
	if (part->key)
		explicit_bzero(part->key, strlen(part->key));
	free(part->key);
	*part = (struct engine_part){ 0 };
}

static int start(const struct engine_options *options, struct engine_part *part,
		 struct dhat_error *err)
{
	const unsigned flags = MHD_USE_POLL | MHD_USE_INTERNAL_POLLING_THREAD |
			       MHD_USE_THREAD_PER_CONNECTION | MHD_USE_NO_LISTEN_SOCKET |
			       (part->key ? MHD_USE_TLS : 0);
	const struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, part->key },
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, part->cert },
		{ MHD_OPTION_END, 0, NULL },
	};
	const struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };

	part->mhd = MHD_start_daemon(
		flags, 0, NULL, NULL, options->on_request, options->context, MHD_OPTION_ARRAY,
		part->key ? tls : none, MHD_OPTION_CONNECTION_LIMIT, options->connections,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, options->request_bytes,
		MHD_OPTION_THREAD_STACK_SIZE, options->stack_bytes, MHD_OPTION_NOTIFY_CONNECTION,
		options->on_connection, options->context, MHD_OPTION_END);
	if (part->mhd)
		return 0;
	return dhat_error_set(err, EINVAL, DHAT_EXIT_FAILED,
			      part->key ? "cannot serve HTTPS: is the key that of the "
					  "certificate, and are both PEM?"
					: "cannot start a server of HTTP");
}

static int part_init(const struct engine_options *options, struct engine_part *ret,
		     struct dhat_error *err)
{
	struct engine_part part = { 0 };
	int r = 0;

	if (options->cert_path)
		r = read_pem(options->cert_path, &part.cert, err);
	if (r == 0 && options->cert_path)
		r = read_pem(options->key_path, &part.key, err);
	if (r == 0)
		r = start(options, &part, err);
	if (r) {
		part_deinit(&part);
		return r;
	}
	*ret = part;
	return 0;
}

/* ---- the whole ----------------------------------------------------------------------------- */

int engine_init(struct engine *engine, const struct engine_options *options, struct dhat_error *err)
{
	if (!options->cert_path != !options->key_path)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "--listen-cert and --listen-key belong together");
	engine->options = *options;
	pthread_mutex_init(&engine->lock, NULL);
	engine->has_lock = true;
	return part_init(options, &engine->now, err);
}

void engine_deinit(struct engine *engine)
{
	part_deinit(&engine->now);
	for (size_t i = 0; i < ENGINE_EARLIER; i++)
		part_deinit(&engine->earlier[i]);
	if (engine->has_lock)
		pthread_mutex_destroy(&engine->lock);
	engine->has_lock = false;
}

static bool is_busy(const struct engine_part *part)
{
	return MHD_get_daemon_info(part->mhd, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
}

/* A free one, once those whose last connection has ended are let go; NULL: there is none. */
static struct engine_part *free_place(struct engine *engine)
{
	struct engine_part *place = NULL;

	for (size_t i = 0; i < ENGINE_EARLIER; i++) {
		struct engine_part *part = &engine->earlier[i];

		if (part->mhd && !is_busy(part))
			part_deinit(part);
		if (!part->mhd)
			place = part;
	}
	return place;
}

int engine_renew(struct engine *engine, struct dhat_error *err)
{
	struct engine_part *place = free_place(engine), next;
	int r;

	if (!engine_has_tls(engine))
		return 0;
	if (!place)
		return dhat_error_set(err, EBUSY, DHAT_EXIT_FAILED,
				      "answers are still on their way by %d earlier certificates; "
				      "try again",
				      ENGINE_EARLIER);
	r = part_init(&engine->options, &next, err);
	if (r)
		return r;
	pthread_mutex_lock(&engine->lock);
	*place = engine->now;
	engine->now = next;
	pthread_mutex_unlock(&engine->lock);
	return 0;
}

bool engine_add(struct engine *engine, int fd, const struct sockaddr *address, socklen_t size)
{
	bool is_taken;

	pthread_mutex_lock(&engine->lock);
	is_taken = MHD_add_connection(engine->now.mhd, fd, address, size) == MHD_YES;
	pthread_mutex_unlock(&engine->lock);
	return is_taken;
}
