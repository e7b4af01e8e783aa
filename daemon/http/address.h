#pragma once
/* address: where dhatd answers HTTP, as --listen names it. Pure. */
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "proto/base/error.h"

#define HTTP_ADDRESS_CHARS 128

struct http_address {
	const char *path; /* of a unix socket, in the text; NULL: TCP */
	struct sockaddr_storage tcp;
	socklen_t tcp_size;
	bool is_loopback; /* nobody beyond this machine gets there */
};

/* A path with a slash, or "unix:PATH"; "127.0.0.1:9664", "[::1]:9664", "localhost:9664";
 * "0.0.0.0:9664" and ":9664" are all addresses of IPv4. Names of other hosts are none.
 * DHAT_EXIT_USAGE. */
int http_address_parse(const char *text, struct http_address *ret, struct dhat_error *err);

/* "127.0.0.1:9664", "[::1]:9664" */
void http_address_print(const struct sockaddr_storage *tcp, char ret[HTTP_ADDRESS_CHARS]);
/* 127.0.0.0/8, ::1, and the former written as the latter. */
bool http_address_is_loopback(const struct sockaddr_storage *tcp);

/* A Host header: does it name this machine's loopback, with any port or none? A page of another
 * site whose name was made to mean 127.0.0.1 (DNS rebinding) sends its own. */
bool http_host_is_loopback(const char *host);
