/* Threads with names: named_threads. "early" is there before the gate, the rest begin behind it:
 * three workers, which allocate at one place and end; "first", which is called "second" later; and
 * main. Each allocates what is written below, and nothing is freed. build: -pthread */
#include <pthread.h>
#include <sys/prctl.h>

#include "ledger.h"

#define WORKERS 3

static pthread_barrier_t begun, gate;

static void be_called(const char *name)
{
	CHECK(!prctl(PR_SET_NAME, name));
}

static __attribute__((noinline)) void take(size_t bytes, int count)
{
	while (count-- > 0) {
		void *block = malloc(bytes);

		OPAQUE(block);
		CHECK(block);
	}
}

static void *be_early(void *unused)
{
	be_called("early");
	pthread_barrier_wait(&begun);
	pthread_barrier_wait(&gate);
	take(1000, 1);
	return NULL;
}

static void *work(void *number)
{
	char name[16];

	snprintf(name, sizeof(name), "worker-%d", (int)(intptr_t)number);
	be_called(name);
	take(100, 3);
	return NULL;
}

static void *be_renamed(void *unused)
{
	be_called("first");
	take(500, 1);
	be_called("second");
	take(700, 1);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t early, renamed, workers[WORKERS];

	CHECK(!pthread_barrier_init(&begun, NULL, 2) && !pthread_barrier_init(&gate, NULL, 2));
	CHECK(!pthread_create(&early, NULL, be_early, NULL));
	pthread_barrier_wait(&begun);
	target_begin(argc, argv);
	ledger.has_peak = false;
	pthread_barrier_wait(&gate);
	for (int i = 0; i < WORKERS; i++)
		CHECK(!pthread_create(&workers[i], NULL, work, (void *)(intptr_t)(i + 1)));
	CHECK(!pthread_create(&renamed, NULL, be_renamed, NULL));
	take(10, 5);
	pthread_join(early, NULL);
	pthread_join(renamed, NULL);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(workers[i], NULL);
	return target_end("");
}
