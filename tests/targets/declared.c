/* declared: blocks whose types only declarations tell, and blocks of which those say what is not
 * so. For dhatctl holds.
 *
 * A line on stdin ends it. Each kind allocates in a function of its own: typed_… is what is
 * declared; other_… is not: it is cast, of another size, in a union, or behind void.
 */
/* build: -g -O1 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kind.h"

#define COUNT 64

struct message {
	char text[24];
	struct message *next;
};

typedef struct {
	double x, y;
} point;

struct tail {
	size_t count;
	struct message *open[];
};

struct session {
	uint64_t id;
	struct {
		struct message *first;
		point *places;
	} box;
	struct tail *tail;
	void *blob;
	struct session **friends;
	union {
		struct message *message;
		struct session *session;
	} either;
	struct message *small; /* is cast: what is there is smaller, or larger, or both */
	struct message *large;
	struct message *mixed;
	char *label;
	struct message *middle; /* points into its block */
};

struct unit { /* begins as a derived one does */
	const char *name;
};
struct derived {
	struct unit unit;
	uint64_t more[3];
};

struct session *sessions[COUNT];
static struct unit *units[COUNT];
static struct session *volatile only; /* of them, a second way to the first */

KIND(typed_session)
KIND(typed_message)
KIND(typed_places)
KIND(typed_tail)
KIND(typed_friends)
KIND(typed_open)
KIND(other_blob)
KIND(other_either)
KIND(other_small)
KIND(other_large)
KIND(other_mixed)
KIND(other_label)
KIND(other_middle)
KIND(other_derived)
KIND(other_behind)

#define WORDS(block) ((void **)(block))

static void fill(struct session *session, size_t i)
{
	for (size_t j = 0; j < 3; j++) {
		struct message *message = typed_message(sizeof(struct message));

		message->next = session->box.first;
		session->box.first = message;
	}
	session->box.places = typed_places(sizeof(point));
	session->tail = typed_tail(sizeof(struct tail) + 2 * sizeof(void *));
	session->tail->open[1] = typed_open(sizeof(struct message));
	session->friends = typed_friends(3 * sizeof(void *));
	session->blob = other_blob(48);
	WORDS(session->blob)[1] = other_behind(16);
	session->either.message = other_either(sizeof(struct message));
	session->small = other_small(sizeof(struct message) / 2);
	session->large = other_large(2 * sizeof(struct message));
	session->mixed = other_mixed(i % 2 ? sizeof(struct message) : 40);
	session->label = other_label(24);
	session->middle = (struct message *)((char *)other_middle(sizeof(struct message)) + 8);
}

int main(void)
{
	for (size_t i = 0; i < COUNT; i++) {
		sessions[i] = typed_session(sizeof(struct session));
		fill(sessions[i], i);
		units[i] = other_derived(sizeof(struct derived));
	}
	for (size_t i = 0; i < COUNT; i++)
		sessions[i]->friends[2] = sessions[(i + 1) % COUNT];
	only = sessions[0];
	puts("made");
	fflush(stdout);
	return getchar() == EOF && !units[0];
}
