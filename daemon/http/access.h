#pragma once
/* access: who may read what dhatd answers by HTTP. Pure, but for the token's file. P6.
 *
 * - /healthz tells nothing, and is for everybody.
 * - At a unix socket: who may ask at dhatd's own (peers.h); the kernel tells who it is.
 * - With a token: who has it, as `Authorization: Bearer TOKEN`, or as the password of Basic.
 * - At a loopback address without one: root and the owner. The kernel tells whose socket it is at
 *   the other end (peer.h).
 * - Opened by option: everybody who gets there.
 * Whatever else: at a loopback address a Host header that is no name of it is refused (DNS
 * rebinding), and what a browser asks for on behalf of another site's page is, everywhere.
 * An address that others than this machine reach wants a token, and TLS for that not to be read on
 * the way, or both given up by option.
 */
#include <stddef.h>

#include "address.h"

#define HTTP_TOKEN_MIN 16
#define HTTP_TOKEN_MAX 512

struct http_access {
	const struct http_address *address;
	char token[HTTP_TOKEN_MAX + 2]; /* "": none */
	bool is_open;
};

struct http_access_options {
	const char *token_path; /* NULL: none */
	bool is_open;		/* no token is asked for */
	bool has_tls, is_plain; /* plain: no TLS is asked for */
};

/* address: stays where it is. Refused is what would let in those who shall not be: DHAT_EXIT_USAGE,
 * with what to do; and a file of a token that other users can read. */
int http_access_init(struct http_access *access, const struct http_address *address,
		     const struct http_access_options *options, struct dhat_error *err);

/* What a request says of itself; NULL: nothing. */
struct http_claim {
	const char *host, *origin, *fetch_site; /* the headers Host, Origin, Sec-Fetch-Site */
	const char *bearer;			/* of Authorization, what is behind "Bearer " */
	const char *password;			/* of Basic */
	bool is_owner; /* the peer is root or the owner, as far as is known */
};

/* 200, or the status to refuse it with: 401, 403; *ret_reason then: a sentence, static. */
unsigned http_access_check(const struct http_access *access, const struct http_claim *claim,
			   const char **ret_reason);
