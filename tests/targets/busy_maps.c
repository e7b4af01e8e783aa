/* Memory that is mapped and unmapped all the time: busy_maps. Two threads do that behind the gate,
 * while main allocates COUNT blocks, from two functions deep, and frees none.
 * build: -pthread */
#include <pthread.h>
#include <sys/mman.h>

#include "ledger.h"

#define MAPPERS 2
#define COUNT 2000

static atomic_bool is_over;

static void *map_and_unmap(void *unused)
{
	while (!is_over) {
		void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0);

		CHECK(page != MAP_FAILED && !munmap(page, 4096));
	}
	return NULL;
}

static __attribute__((noinline)) void take_inner(void)
{
	void *block = malloc(40);

	OPAQUE(block);
	CHECK(block);
	ledger_add(40);
}

static __attribute__((noinline)) void take_outer(void)
{
	take_inner();
	__asm__ volatile("" : : : "memory"); /* no tail call */
}

int main(int argc, char **argv)
{
	pthread_t mappers[MAPPERS];

	target_begin(argc, argv);
	for (int i = 0; i < MAPPERS; i++)
		CHECK(!pthread_create(&mappers[i], NULL, map_and_unmap, NULL));
	for (int i = 0; i < COUNT; i++)
		take_outer();
	is_over = true;
	for (int i = 0; i < MAPPERS; i++)
		pthread_join(mappers[i], NULL);
	return target_end("");
}
