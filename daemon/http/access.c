#include "access.h"

#include <errno.h>
#include <string.h>

#include "proto/base/secret.h"

/* ---- at the start -------------------------------------------------------------------------- */

static int check_remote(const struct http_access *access, const struct http_access_options *options,
			struct dhat_error *err)
{
	if (!*access->token && !options->is_open)
		return dhat_error_set(
			err, EINVAL, DHAT_EXIT_USAGE,
			"--listen: other machines reach this address, and a profile "
			"shows the insides of a service: give --listen-token FILE (or "
			"--listen-open, to show it to everybody)");
	if (!options->has_tls && !options->is_plain)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "--listen: other machines reach this address, and what goes "
				      "there could be read on the way: give --listen-cert and "
				      "--listen-key (or --listen-plain, to go without TLS)");
	return 0;
}

int http_access_init(struct http_access *access, const struct http_address *address,
		     const struct http_access_options *options, struct dhat_error *err)
{
	int r = 0;

	*access = (struct http_access){ .address = address, .is_open = options->is_open };
	if (options->token_path && options->is_open)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "--listen-token and --listen-open exclude each other");
	if (options->token_path)
		r = secret_read(options->token_path, HTTP_TOKEN_MIN, HTTP_TOKEN_MAX, access->token,
				err);
	if (r == 0 && !address->is_loopback)
		r = check_remote(access, options, err);
	return r;
}

/* ---- at a request -------------------------------------------------------------------------- */

/* Takes as long whatever the first character is that differs. */
static bool is_equal(const char *token, const char *given)
{
	size_t length = strlen(token), given_length = strlen(given);
	volatile unsigned char differ = length != given_length;

	for (size_t i = 0; i < length; i++)
		differ |= token[i] ^ (i < given_length ? given[i] : 0);
	return !differ;
}

static bool has_token(const struct http_access *access, const struct http_claim *claim)
{
	return (claim->bearer && is_equal(access->token, claim->bearer)) ||
	       (claim->password && is_equal(access->token, claim->password));
}

/* A page of another site may make a browser ask, and shall not learn anything by that. */
static bool is_foreign(const struct http_claim *claim)
{
	const char *site = claim->fetch_site, *origin = claim->origin;

	if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
		return true;
	if (!origin)
		return false;
	if (strncmp(origin, "http://", 7) == 0)
		origin += 7;
	else if (strncmp(origin, "https://", 8) == 0)
		origin += 8;
	return !claim->host || strcmp(origin, claim->host) != 0;
}

unsigned http_access_check(const struct http_access *access, const struct http_claim *claim,
			   const char **ret_reason)
{
	const struct http_address *address = access->address;

	if (!address->path && address->is_loopback && !http_host_is_loopback(claim->host)) {
		*ret_reason = "the Host header is none of this address: ask 127.0.0.1 or localhost";
		return 403;
	}
	if (is_foreign(claim)) {
		*ret_reason = "asked for by a page of another site: enter the address by hand";
		return 403;
	}
	if (address->path || access->is_open)
		return 200;
	if (*access->token) {
		*ret_reason = "the token of --listen-token is wanted, as `Authorization: Bearer "
			      "TOKEN' or as a password";
		return has_token(access, claim) ? 200 : 401;
	}
	*ret_reason =
		"root and the user who started dhatd may read profiles here; for others start "
		"dhatd with --listen-token FILE (or --listen-open)";
	return claim->is_owner ? 200 : 403;
}
