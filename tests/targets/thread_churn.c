/* Threads by the thousand, created and joined: thread_churn [THREADS]. Each allocates three blocks,
 * frees two; its parent frees the third but for every hundredth. */
#include <pthread.h>

#include "ledger.h"

#define AT_ONCE 20

static __attribute__((noinline)) void *thread_block(size_t size_bytes)
{
	void *p = malloc(size_bytes);

	OPAQUE(p);
	CHECK(p);
	ledger_add(size_bytes);
	return p;
}

static void *work(void *arg)
{
	void *first = thread_block(40), *second = thread_block(400), *result = thread_block(4000);

	ledger_drop(40);
	free(first);
	ledger_drop(400);
	free(second);
	return result;
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long count = arg_number(argc, argv, own, 10000);
	pthread_t threads[AT_ONCE];
	pthread_attr_t attr;
	void *result;

	ledger.has_peak = false;
	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setstacksize(&attr, 64 << 10));
	for (long i = 0; i < count; i += AT_ONCE) {
		for (int j = 0; j < AT_ONCE; j++)
			CHECK(!pthread_create(&threads[j], &attr, work, NULL));
		for (int j = 0; j < AT_ONCE; j++) {
			CHECK(!pthread_join(threads[j], &result));
			if ((i + j) % 100 == 99)
				continue;
			ledger_drop(4000);
			free(result);
		}
	}
	return target_end("");
}
