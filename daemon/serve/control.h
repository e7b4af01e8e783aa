#pragma once
/* control: the unix socket at which dhatd answers.
 *
 * Each connection has a thread of its own, at most CONTROL_MAX_CONNECTIONS at a time; a request has
 * to come whole, and each frame of an answer has to be taken, before a deadline. What a peer does
 * wrong (half a frame, too long, nonsense, too slow) ends its connection and nothing else.
 *
 * Rights (P6): the socket's mode lets only its owner in, or its group too when one is given
 * (local_socket.h); and at each accept the peer's credentials are checked again (peers.h).
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/error.h"
#include "proto/wire/dhat.pb-c.h"

#define CONTROL_MAX_CONNECTIONS 32
#define CONTROL_OWNER_PLACES 8		  /* of those, where members of the group do not get in */
#define CONTROL_MEMBER_PLACES 8		  /* at most, for one of them */
#define CONTROL_RECEIVE_NS 10000000000ull /* for a whole request */
#define CONTROL_SEND_NS 30000000000ull	  /* for each frame of an answer */
/* For a whole answer: a reader that takes a frame now and then holds a copy of a profile. */
#define CONTROL_ANSWER_NS 600000000000ull

struct control;
struct control_reply;

enum control_right {
	CONTROL_READ,	/* look at profiles: every peer that was let in */
	CONTROL_MANAGE, /* attach and detach: root and the owner, not the group */
};

/* Answers by control_reply() as often as it likes; a Done without text is sent if it never did. A
 * failure before the last answer is sent as an error with err's code and text. context: as given
 * to control_new(). Runs in the connection's thread. */
typedef int (*control_handler)(void *context, const Dhat__Request *request,
			       struct control_reply *reply, struct dhat_error *err);

struct control_entry {
	Dhat__Request__BodyCase kind;
	enum control_right right;
	control_handler handler;
};

struct control_options {
	const char *path;
	/* 0: make one at path. Else one that listens, bound by a service manager, whose owner and
	 * mode are the manager's: borrowed, and the file stays. */
	int listening_fd;
	const char *group;		   /* NULL: none */
	const struct control_entry *table; /* ends with kind 0 */
	void *context;
	uint64_t receive_ns, send_ns, answer_ns; /* 0: the defaults above */
};

/* Bind and start answering. A socket that nobody listens at any more is replaced; a live one is an
 * error (DHAT_EXIT_ALREADY). */
int control_new(const struct control_options *options, struct control **ret,
		struct dhat_error *err);
/* Stop accepting, cut the connections, wait for their threads, remove the socket. */
void control_free(struct control *control);

/* Send one response. An error: the peer is gone or too slow, the handler shall return. */
int control_reply(struct control_reply *reply, Dhat__Response *response, struct dhat_error *err);
/* May the peer do what changes something? See CONTROL_MANAGE. */
bool control_peer_is_owner(const struct control_reply *reply);
/* For what takes long: is raised when nobody waits for the answer any more, since the peer has gone
 * (a tenth of a second later) or dhatd is about to end. Lives as long as the handler runs. */
const atomic_bool *control_peer_gone(const struct control_reply *reply);
