#include "places.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/base/clock.h"

void http_places_init(struct http_places *places)
{
	pthread_mutex_init(&places->lock, NULL);
	for (size_t i = 0; i < HTTP_MAX_CONNECTIONS; i++)
		places->list[i].fd = -1;
}

void http_places_deinit(struct http_places *places)
{
	pthread_mutex_destroy(&places->lock);
}

static bool is_same_peer(const struct http_peer *a, const struct http_peer *b)
{
	if (a->is_known || b->is_known)
		return a->is_known && b->is_known && a->uid == b->uid;
	if (a->address.ss_family != b->address.ss_family)
		return false;
	if (a->address.ss_family == AF_INET6) /* one host has a whole network of 64 bits */
		return memcmp(&((const struct sockaddr_in6 *)&a->address)->sin6_addr,
			      &((const struct sockaddr_in6 *)&b->address)->sin6_addr, 8) == 0;
	return ((const struct sockaddr_in *)&a->address)->sin_addr.s_addr ==
	       ((const struct sockaddr_in *)&b->address)->sin_addr.s_addr;
}

/* With `lock`. */
static bool may_have(const struct http_places *places, const struct http_place *wanted)
{
	unsigned others = 0, own = 0;

	if (wanted->is_owner)
		return true;
	for (size_t i = 0; i < HTTP_MAX_CONNECTIONS; i++) {
		const struct http_place *taken = &places->list[i];

		if (taken->fd < 0 || taken->is_owner)
			continue;
		others++;
		own += is_same_peer(&taken->peer, &wanted->peer);
	}
	return others < HTTP_MAX_CONNECTIONS - HTTP_OWNER_PLACES && own < HTTP_PEER_PLACES;
}

bool http_places_take(struct http_places *places, const struct http_place *wanted)
{
	bool is_taken = false;

	pthread_mutex_lock(&places->lock);
	for (size_t i = 0; i < HTTP_MAX_CONNECTIONS && may_have(places, wanted); i++) {
		if (places->list[i].fd >= 0)
			continue;
		places->list[i] = *wanted;
		atomic_store(&places->gone[i], false);
		is_taken = true;
		break;
	}
	pthread_mutex_unlock(&places->lock);
	return is_taken;
}

/* With `lock`; HTTP_MAX_CONNECTIONS: none. */
static size_t find(const struct http_places *places, int fd)
{
	size_t i = 0;

	while (i < HTTP_MAX_CONNECTIONS && places->list[i].fd != fd)
		i++;
	return i;
}

void http_places_release(struct http_places *places, int fd)
{
	size_t place;

	pthread_mutex_lock(&places->lock);
	place = find(places, fd);
	if (place < HTTP_MAX_CONNECTIONS) {
		places->list[place].fd = -1;
		atomic_store(&places->gone[place], true);
	}
	pthread_mutex_unlock(&places->lock);
}

bool http_places_extend(struct http_places *places, int fd, uint64_t ns, size_t *ret)
{
	bool is_there;

	pthread_mutex_lock(&places->lock);
	*ret = find(places, fd);
	is_there = *ret < HTTP_MAX_CONNECTIONS && !atomic_load(&places->gone[*ret]);
	if (is_there)
		places->list[*ret].deadline_ns = clock_now_ns(CLOCK_MONOTONIC) + ns;
	pthread_mutex_unlock(&places->lock);
	return is_there;
}

/* At once: the kernel keeps nothing for a reader that does not read. */
static void cut(int fd)
{
	const struct linger none = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	shutdown(fd, SHUT_RDWR);
}

/* Of a reader that has closed its end TCP tells no more than that nothing will come from it; so who
 * says that, and waits, is taken for gone, as by other servers. A unix socket tells the two apart.
 */
static bool has_gone(const struct http_place *place)
{
	bool is_local = place->peer.address.ss_family == AF_UNIX;
	struct pollfd peer = { .fd = place->fd, .events = is_local ? 0 : POLLRDHUP };

	return poll(&peer, 1, 0) == 1 && peer.revents & (POLLHUP | POLLRDHUP | POLLERR);
}

bool http_places_look(struct http_places *places, bool ends)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
	bool is_any = false;

	pthread_mutex_lock(&places->lock);
	for (size_t i = 0; i < HTTP_MAX_CONNECTIONS; i++) {
		struct http_place *place = &places->list[i];

		if (place->fd < 0)
			continue;
		is_any = true;
		if (has_gone(place))
			atomic_store(&places->gone[i], true);
		if (!ends && now < place->deadline_ns)
			continue;
		atomic_store(&places->gone[i], true);
		cut(place->fd);
	}
	pthread_mutex_unlock(&places->lock);
	return is_any;
}
