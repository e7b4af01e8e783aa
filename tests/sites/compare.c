/* compare: are the events of two dhatds, on one target at once, the same?
 *
 *   compare FIRST SECOND      two files or pipes with records, as tap.c writes them
 *
 * Each thread's events are compared in their order: kind, addresses, size, what became of a
 * realloc, and the stack, frame by frame. Of two threads' events none need come before the other.
 * Times are not compared (an allocation is told where its block is known, or when the call
 * returns), nor what a free has read of a block's header, which depends on what was told before.
 * Prints how many were equal, and the first that are not. 1: there were some.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/dhat_abi.h"
#include "proto/base/cleanup.h"

#define BUCKETS (1u << 16)
#define SHOWN 10

struct event {
	struct event *next;
	uint32_t tid;
	uint8_t type, domain;
	uint32_t result;
	uint64_t old_addr, new_addr, size_bytes, stack;
};

/* Of one thread, those that one side has told and the other one has not yet. */
struct waiting {
	struct waiting *next;
	uint32_t tid;
	int side;
	struct event *first, **last;
};

struct known_stack { /* what a stack's id stands for */
	struct known_stack *next;
	uint64_t id, frames; /* a hash of them */
};

struct side {
	const char *name;
	int fd;
	uint8_t *bytes;
	size_t used;
	struct known_stack *stacks[BUCKETS];
	uint64_t count, by_type[DHAT_RECORD_REPLACED + 1], stack_count;
};

static struct side sides[2];
static struct waiting *threads[BUCKETS];
static uint64_t equal, unequal;

static void *get(size_t bytes)
{
	void *memory = calloc(1, bytes);

	if (!memory) {
		fprintf(stderr, "compare: no memory\n");
		exit(2);
	}
	return memory;
}

/* ---- stacks --------------------------------------------------------------------------------- */

static uint64_t hash(uint64_t so_far, uint64_t word) /* as splitmix64 mixes */
{
	so_far = (so_far ^ word) * 0xbf58476d1ce4e5b9ull;
	return so_far ^ so_far >> 31;
}

static struct known_stack **bucket_of(struct side *side, uint64_t id)
{
	return &side->stacks[(id ^ id >> 32) % BUCKETS];
}

static void note_stack(struct side *side, const struct dhat_record_stack *record)
{
	uint32_t kept = dhat_kept_frames(record->frame_count, record->stop);
	struct known_stack *stack = get(sizeof(*stack)), **bucket;

	stack->id = record->stack_id;
	stack->frames = hash(hash(1, record->frame_count), record->stop);
	for (uint32_t i = 0; i < kept && i < DHAT_MAX_FRAMES; i++)
		stack->frames = hash(stack->frames, record->frames[i]);
	bucket = bucket_of(side, stack->id);
	stack->next = *bucket;
	*bucket = stack;
	side->stack_count++;
}

static uint64_t frames_of(struct side *side, uint64_t id)
{
	for (struct known_stack *stack = *bucket_of(side, id); stack; stack = stack->next)
		if (stack->id == id)
			return stack->frames;
	return 0;
}

/* ---- events --------------------------------------------------------------------------------- */

static bool is_same(const struct event *a, const struct event *b)
{
	return a->tid == b->tid && a->type == b->type && a->domain == b->domain &&
	       a->result == b->result && a->old_addr == b->old_addr && a->new_addr == b->new_addr &&
	       a->size_bytes == b->size_bytes && a->stack == b->stack && (a->stack || !a->new_addr);
}

static void show(const char *name, const struct event *event)
{
	printf("  %s: thread %u, kind %d, %" PRIx64 " -> %" PRIx64 ", %" PRIu64
	       " bytes, result %u, stack %" PRIx64 "\n",
	       name, event->tid, event->type, event->old_addr, event->new_addr, event->size_bytes,
	       event->result, event->stack);
}

static struct waiting *waiting_of(uint32_t tid)
{
	struct waiting **bucket = &threads[tid % BUCKETS], *waiting;

	for (waiting = *bucket; waiting; waiting = waiting->next)
		if (waiting->tid == tid)
			return waiting;
	waiting = get(sizeof(*waiting));
	waiting->tid = tid;
	waiting->last = &waiting->first;
	waiting->next = *bucket;
	*bucket = waiting;
	return waiting;
}

static void take_event(int number, const struct event *event)
{
	struct waiting *waiting = waiting_of(event->tid);
	struct event *other = waiting->first;

	if (!other || waiting->side == number) {
		struct event *copy = get(sizeof(*copy));

		*copy = *event;
		copy->next = NULL;
		waiting->side = number;
		*waiting->last = copy;
		waiting->last = &copy->next;
		return;
	}
	waiting->first = other->next;
	if (!waiting->first)
		waiting->last = &waiting->first;
	if (is_same(event, other)) {
		equal++;
	} else if (unequal++ < SHOWN) {
		printf("not the same:\n");
		show(sides[number].name, event);
		show(sides[!number].name, other);
	}
	free(other);
}

/* ---- records -------------------------------------------------------------------------------- */

static void take_record(int number, const struct dhat_record *head)
{
	struct side *side = &sides[number];
	struct event event = { .tid = head->tid, .type = head->type, .domain = head->domain };

	switch (head->type) {
	case DHAT_RECORD_STACK:
		note_stack(side, (const void *)head);
		return;
	case DHAT_RECORD_ALLOC: {
		const struct dhat_record_alloc *record = (const void *)head;

		event.new_addr = record->addr;
		event.size_bytes = record->size_bytes;
		event.stack = frames_of(side, record->stack_id);
		break;
	}
	case DHAT_RECORD_FREE:
		event.old_addr = ((const struct dhat_record_free *)(const void *)head)->addr;
		break;
	case DHAT_RECORD_REALLOC_BEGIN:
		event.old_addr =
			((const struct dhat_record_realloc_begin *)(const void *)head)->old_addr;
		break;
	case DHAT_RECORD_REALLOC_END: {
		const struct dhat_record_realloc_end *record = (const void *)head;

		event.old_addr = record->old_addr;
		event.new_addr = record->new_addr;
		event.size_bytes = record->size_bytes;
		event.result = record->result;
		event.stack = record->new_addr ? frames_of(side, record->stack_id) : 0;
		break;
	}
	default:
		return; /* of threads, mappings and names */
	}
	side->count++;
	side->by_type[head->type]++;
	take_event(number, &event);
}

#define ROOM (4u << 20)

/* false: there is nothing more to come. */
static bool take_bytes(int number)
{
	struct side *side = &sides[number];
	ssize_t n = read(side->fd, side->bytes + side->used, ROOM - side->used);
	size_t at = 0;

	if (n <= 0) {
		if (side->used)
			printf("%s: ends within a record\n", side->name);
		unequal += side->used != 0;
		return false;
	}
	side->used += n;
	while (side->used - at >= sizeof(struct dhat_record)) {
		const struct dhat_record *head = (const void *)(side->bytes + at);

		if (head->size < sizeof(*head)) {
			printf("%s: no record\n", side->name);
			exit(2);
		}
		if (side->used - at < head->size)
			break;
		take_record(number, head);
		at += head->size;
	}
	memmove(side->bytes, side->bytes + at, side->used - at);
	side->used -= at;
	return true;
}

static void count_left(void)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct waiting *waiting = threads[i]; waiting; waiting = waiting->next)
			for (struct event *event = waiting->first; event; event = event->next)
				if (unequal++ < SHOWN) {
					printf("one of them alone has:\n");
					show(sides[waiting->side].name, event);
				}
}

int main(int argc, char **argv)
{
	struct pollfd ends[2];
	int open_count = 2;

	if (argc != 3)
		return 2;
	for (int i = 0; i < 2; i++) {
		sides[i].name = argv[i + 1];
		sides[i].fd = open(argv[i + 1], O_RDONLY | O_CLOEXEC);
		sides[i].bytes = get(ROOM);
		ends[i] = (struct pollfd){ .fd = sides[i].fd, .events = POLLIN };
		if (sides[i].fd < 0) {
			fprintf(stderr, "compare: %s: %s\n", argv[i + 1], strerror(errno));
			return 2;
		}
	}
	while (open_count && poll(ends, 2, -1) >= 0)
		for (int i = 0; i < 2; i++)
			if (ends[i].fd >= 0 && ends[i].revents && !take_bytes(i)) {
				ends[i].fd = -1;
				open_count--;
			}
	count_left();
	printf("%" PRIu64 " events of each are equal (%" PRIu64 " blocks handed out, %" PRIu64
	       " frees, %" PRIu64 " reallocs, %" PRIu64 " stacks), %" PRIu64 " are not\n",
	       equal, sides[0].by_type[DHAT_RECORD_ALLOC], sides[0].by_type[DHAT_RECORD_FREE],
	       sides[0].by_type[DHAT_RECORD_REALLOC_END], sides[0].stack_count, unequal);
	return unequal != 0;
}
