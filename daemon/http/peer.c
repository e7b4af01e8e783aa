#include "peer.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

struct question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

/* An address of IPv4, be it written as one of IPv6 or not. */
static bool as_v4(const struct sockaddr_storage *address, struct in_addr *ret)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

	if (address->ss_family == AF_INET) {
		*ret = ((const struct sockaddr_in *)address)->sin_addr;
		return true;
	}
	if (!IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		return false;
	memcpy(ret, &v6->sin6_addr.s6_addr[12], sizeof(*ret));
	return true;
}

/* At the same place in both kinds. */
static in_port_t port_of(const struct sockaddr_storage *address)
{
	struct sockaddr_in either;

	memcpy(&either, address, sizeof(either));
	return either.sin_port;
}

static void fill_question(struct question *question, const struct sockaddr_storage *theirs,
			  const struct sockaddr_storage *ours)
{
	struct inet_diag_sockid *id = &question->body.id;
	struct in_addr their_v4, our_v4;

	*question = (struct question){
		.header = { .nlmsg_len = sizeof(*question),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST },
		.body = { .sdiag_family = AF_INET,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = ~0u },
	};
	id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	id->idiag_sport = port_of(theirs);
	id->idiag_dport = port_of(ours);
	if (as_v4(theirs, &their_v4) && as_v4(ours, &our_v4)) {
		memcpy(id->idiag_src, &their_v4, sizeof(their_v4));
		memcpy(id->idiag_dst, &our_v4, sizeof(our_v4));
		return;
	}
	question->body.sdiag_family = AF_INET6;
	memcpy(id->idiag_src, &((const struct sockaddr_in6 *)theirs)->sin6_addr, 16);
	memcpy(id->idiag_dst, &((const struct sockaddr_in6 *)ours)->sin6_addr, 16);
}

/* Not any other socket, as one that listens, which the kernel finds where there is none with this
 * other end. And one that somebody holds: of those that were closed or are in TIME_WAIT, or nobody
 * has accepted yet, the kernel says that they are user 0's. */
static bool is_answer(const struct inet_diag_msg *answer, const struct question *question)
{
	const struct inet_diag_sockid *id = &question->body.id;

	return answer->idiag_state == TCP_ESTABLISHED && answer->idiag_inode &&
	       answer->idiag_family == question->body.sdiag_family &&
	       answer->id.idiag_sport == id->idiag_sport &&
	       answer->id.idiag_dport == id->idiag_dport &&
	       memcmp(answer->id.idiag_src, id->idiag_src, sizeof(id->idiag_src)) == 0 &&
	       memcmp(answer->id.idiag_dst, id->idiag_dst, sizeof(id->idiag_dst)) == 0;
}

static bool ask(const struct question *question, uid_t *ret)
{
	const struct timeval patience = { .tv_sec = 1 };
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	union {
		struct nlmsghdr header;
		char room[1024];
	} reply;
	const struct inet_diag_msg *answer = NLMSG_DATA(&reply.header);
	ssize_t size;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    send(fd, question, sizeof(*question), 0) != sizeof(*question))
		return false;
	size = recv(fd, &reply, sizeof(reply), 0);
	if (size < (ssize_t)NLMSG_LENGTH(sizeof(*answer)) ||
	    reply.header.nlmsg_type != SOCK_DIAG_BY_FAMILY || !is_answer(answer, question))
		return false;
	*ret = answer->idiag_uid;
	return true;
}

void http_peer_of(int fd, struct http_peer *ret)
{
	struct sockaddr_storage ours = { 0 };
	socklen_t size = sizeof(ret->address), our_size = sizeof(ours);
	struct question question;
	struct ucred peer;
	socklen_t peer_size = sizeof(peer);

	*ret = (struct http_peer){ 0 };
	if (getpeername(fd, (struct sockaddr *)&ret->address, &size) < 0)
		return;
	if (ret->address.ss_family == AF_UNIX) {
		ret->is_known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0;
		ret->uid = ret->is_known ? peer.uid : 0;
		return;
	}
	if (!http_address_is_loopback(&ret->address) ||
	    getsockname(fd, (struct sockaddr *)&ours, &our_size) < 0)
		return;
	fill_question(&question, &ret->address, &ours);
	ret->is_known = ask(&question, &ret->uid);
}
