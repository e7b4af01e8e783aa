#include "options.h"

#include <errno.h>

/* Options without a letter have keys beyond the characters, and beyond those of dhatd's others. */
enum {
	KEY_LISTEN = 0x700,
	KEY_TOKEN,
	KEY_CERT,
	KEY_KEY,
	KEY_OPEN,
	KEY_PLAIN,
};

static const struct argp_option options[] = {
	{ "listen", KEY_LISTEN, "ADDRESS", 0,
	  "Answer by HTTP, too: /metrics for Prometheus, /debug/pprof/heap, reports; at "
	  "127.0.0.1:9664, say, or at a unix socket (a path)",
	  7 },
	{ "listen-token", KEY_TOKEN, "FILE", 0, "To those who have the token in FILE", 7 },
	{ "listen-open", KEY_OPEN, 0, 0, "To everybody who gets there", 7 },
	{ "listen-cert", KEY_CERT, "FILE", 0, "By HTTPS, with this certificate (PEM)", 7 },
	{ "listen-key", KEY_KEY, "FILE", 0, "The certificate's key (PEM)", 7 },
	{ "listen-plain", KEY_PLAIN, 0, 0, "Without TLS, though other machines get there", 7 },
	{ 0 },
};

static error_t check(const struct http_server_options *wanted, struct argp_state *state)
{
	const struct http_access_options *access = &wanted->access;

	if (wanted->listen || (!access->token_path && !access->is_open && !access->is_plain &&
			       !wanted->cert_path && !wanted->key_path))
		return 0;
	argp_error(state, "where is it to answer by HTTP? give --listen ADDRESS");
	return EINVAL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct http_server_options *wanted = state->input;

	switch (key) {
	case KEY_LISTEN:
		wanted->listen = arg;
		return 0;
	case KEY_TOKEN:
		wanted->access.token_path = arg;
		return 0;
	case KEY_CERT:
		wanted->cert_path = arg;
		return 0;
	case KEY_KEY:
		wanted->key_path = arg;
		return 0;
	case KEY_OPEN:
		wanted->access.is_open = true;
		return 0;
	case KEY_PLAIN:
		wanted->access.is_plain = true;
		return 0;
	case ARGP_KEY_END:
		return check(wanted, state);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp http_argp = { .options = options, .parser = parse };
