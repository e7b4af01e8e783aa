#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* "9664"; false: no port. */
static bool parse_port(const char *text, in_port_t *ret)
{
	char *end;
	unsigned long port;

	if (*text < '0' || *text > '9')
		return false;
	port = strtoul(text, &end, 10);
	*ret = htons(port);
	return !*end && port <= UINT16_MAX;
}

/* The host of "HOST:PORT", "[HOST]:PORT", or without the port; *ret_rest: what is behind it. False:
 * it is none, or too long. */
static bool split_host(const char *text, char *ret, size_t size, const char **ret_rest)
{
	const char *begin = *text == '[' ? text + 1 : text;
	size_t length = *text == '[' ? strcspn(begin, "]") : strcspn(begin, ":");

	if (length >= size || (*text == '[' && begin[length] != ']'))
		return false;
	memcpy(ret, begin, length);
	ret[length] = '\0';
	*ret_rest = begin + length + (*text == '[');
	return true;
}

static bool parse_tcp(const char *text, struct http_address *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->tcp;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->tcp;
	char host[INET6_ADDRSTRLEN];
	const char *rest, *name = host;
	in_port_t port;

	if (!split_host(text, host, sizeof(host), &rest) || *rest != ':' ||
	    !parse_port(rest + 1, &port))
		return false;
	if (!*host)
		name = "0.0.0.0";
	else if (strcmp(host, "localhost") == 0)
		name = "127.0.0.1";
	if (*text != '[' && inet_pton(AF_INET, name, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = port;
		ret->tcp_size = sizeof(*v4);
		return true;
	}
	if (*text != '[' || inet_pton(AF_INET6, name, &v6->sin6_addr) != 1)
		return false;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = port;
	ret->tcp_size = sizeof(*v6);
	return true;
}

int http_address_parse(const char *text, struct http_address *ret, struct dhat_error *err)
{
	static const char prefix[] = "unix:";

	*ret = (struct http_address){ 0 };
	if (strncmp(text, prefix, strlen(prefix)) == 0)
		ret->path = text + strlen(prefix);
	else if (strchr(text, '/'))
		ret->path = text;
	ret->is_loopback = ret->path;
	if (ret->path)
		return 0;
	if (!parse_tcp(text, ret))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "--listen %s: not an address: give 127.0.0.1:9664, "
				      "[::1]:9664, or the path of a unix socket",
				      text);
	ret->is_loopback = http_address_is_loopback(&ret->tcp);
	return 0;
}

void http_address_print(const struct sockaddr_storage *tcp, char ret[HTTP_ADDRESS_CHARS])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)tcp;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)tcp;
	char host[INET6_ADDRSTRLEN];

	if (tcp->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(ret, HTTP_ADDRESS_CHARS, "[%s]:%u", host, ntohs(v6->sin6_port));
		return;
	}
	inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
	snprintf(ret, HTTP_ADDRESS_CHARS, "%s:%u", host, ntohs(v4->sin_port));
}

static bool is_v4_loopback(const struct in_addr *address)
{
	return ntohl(address->s_addr) >> 24 == IN_LOOPBACKNET;
}

static bool is_v6_loopback(const struct in6_addr *address)
{
	struct in_addr inner;

	if (!IN6_IS_ADDR_V4MAPPED(address))
		return IN6_IS_ADDR_LOOPBACK(address);
	memcpy(&inner, &address->s6_addr[12], sizeof(inner));
	return is_v4_loopback(&inner);
}

bool http_address_is_loopback(const struct sockaddr_storage *tcp)
{
	if (tcp->ss_family == AF_INET6)
		return is_v6_loopback(&((const struct sockaddr_in6 *)tcp)->sin6_addr);
	return is_v4_loopback(&((const struct sockaddr_in *)tcp)->sin_addr);
}

bool http_host_is_loopback(const char *host)
{
	char name[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct in6_addr v6;
	const char *rest;
	in_port_t port;

	if (!host || !split_host(host, name, sizeof(name), &rest) ||
	    (*rest && (*rest != ':' || !parse_port(rest + 1, &port))))
		return false;
	if (*host == '[')
		return inet_pton(AF_INET6, name, &v6) == 1 && is_v6_loopback(&v6);
	return strcasecmp(name, "localhost") == 0 ||
	       (inet_pton(AF_INET, name, &v4) == 1 && is_v4_loopback(&v4));
}
