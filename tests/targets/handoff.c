/* Blocks made by one thread, resized by a second and freed by a third: handoff [PER_PRODUCER].
 * Three producers, two resizers, three consumers. One block in ten is kept to the end. */
#include <pthread.h>

#include "ledger.h"

#define QUEUE_SLOTS 256
#define PRODUCERS 3
#define RESIZERS 2
#define CONSUMERS 3

struct parcel {
	char *block;
	size_t size_bytes;
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct parcel parcels[QUEUE_SLOTS];
	unsigned int head, tail;
	int writers;
};

#define QUEUE(count)                                                                               \
	{                                                                                          \
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER,            \
		.writers = (count)                                                                 \
	}
static struct queue fresh = QUEUE(PRODUCERS), resized = QUEUE(RESIZERS);
static long per_producer;

static void queue_put(struct queue *queue, struct parcel parcel)
{
	pthread_mutex_lock(&queue->lock);
	while (queue->tail - queue->head == QUEUE_SLOTS)
		pthread_cond_wait(&queue->changed, &queue->lock);
	queue->parcels[queue->tail++ % QUEUE_SLOTS] = parcel;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

static bool queue_get(struct queue *queue, struct parcel *ret)
{
	bool is_filled;

	pthread_mutex_lock(&queue->lock);
	while (queue->tail == queue->head && queue->writers)
		pthread_cond_wait(&queue->changed, &queue->lock);
	is_filled = queue->tail != queue->head;
	if (is_filled)
		*ret = queue->parcels[queue->head++ % QUEUE_SLOTS];
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	return is_filled;
}

static void queue_leave(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->writers--;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

static __attribute__((noinline)) struct parcel make_parcel(size_t size_bytes)
{
	struct parcel parcel = { malloc(size_bytes), size_bytes };

	OPAQUE(parcel.block);
	CHECK(parcel.block);
	ledger_add(size_bytes);
	return parcel;
}

static __attribute__((noinline)) struct parcel resize_parcel(struct parcel parcel,
							     size_t size_bytes)
{
	char *p = realloc(parcel.block, size_bytes);

	OPAQUE(p);
	CHECK(p);
	ledger_resize(parcel.size_bytes, size_bytes);
	return (struct parcel){ p, size_bytes };
}

static void *produce(void *arg)
{
	uint64_t state = (uintptr_t)arg;

	for (long i = 0; i < per_producer; i++)
		queue_put(&fresh, make_parcel(8 + next_random(&state) % 500));
	queue_leave(&fresh);
	return NULL;
}

static void *resize(void *arg)
{
	uint64_t state = 100 + (uintptr_t)arg;
	struct parcel parcel;

	while (queue_get(&fresh, &parcel)) {
		if (next_random(&state) % 3 == 0)
			parcel = resize_parcel(parcel, 8 + next_random(&state) % 3000);
		queue_put(&resized, parcel);
	}
	queue_leave(&resized);
	return NULL;
}

static void *consume(void *arg)
{
	static atomic_long count;
	struct parcel parcel;

	while (queue_get(&resized, &parcel)) {
		if (++count % 10 == 0)
			continue; /* kept */
		ledger_drop(parcel.size_bytes);
		free(parcel.block);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[PRODUCERS + RESIZERS + CONSUMERS];
	int own = target_begin(argc, argv), count = 0;

	ledger.has_peak = false;
	per_producer = arg_number(argc, argv, own, 20000);
	for (uintptr_t i = 0; i < PRODUCERS; i++)
		CHECK(!pthread_create(&threads[count++], NULL, produce, (void *)(i + 1)));
	for (uintptr_t i = 0; i < RESIZERS; i++)
		CHECK(!pthread_create(&threads[count++], NULL, resize, (void *)(i + 1)));
	for (int i = 0; i < CONSUMERS; i++)
		CHECK(!pthread_create(&threads[count++], NULL, consume, NULL));
	for (int i = 0; i < count; i++)
		CHECK(!pthread_join(threads[i], NULL));
	return target_end("");
}
