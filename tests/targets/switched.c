/* switched: threads that allocate, resize and free all the time, and a stock that they never touch.
 *
 *   switched THREADS STOCK     STOCK blocks of 100 to 1,099 bytes are made first
 *
 * Lines on stdin: "stop", "go", "drop" (the stock is freed), "end" (all is freed, and the program
 * waits). Each is answered with the book (ledger.h) of a moment at which nothing is under way.
 * build: -pthread -D_GNU_SOURCE
 */
#include <pthread.h>

#include "ledger.h"

#define SLOTS 512
#define MOST_THREADS 8

struct worker {
	pthread_t thread;
	unsigned long long seed;
	void *slots[SLOTS];
	size_t sizes[SLOTS];
};

static struct worker workers[MOST_THREADS];
static unsigned worker_count;
static void **stock;
static size_t stock_count;
static pthread_rwlock_t door = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static atomic_bool is_over;

static unsigned next(struct worker *worker)
{
	worker->seed = worker->seed * 6364136223846793005ull + 1442695040888963407ull;
	return worker->seed >> 33;
}

static void forget(struct worker *worker, unsigned at)
{
	if (!worker->slots[at])
		return;
	ledger_drop(worker->sizes[at]);
	free(worker->slots[at]);
	worker->slots[at] = NULL;
}

static __attribute__((noinline)) void make(struct worker *worker, unsigned at, size_t size)
{
	forget(worker, at);
	worker->slots[at] = malloc(size);
	CHECK(worker->slots[at]);
	worker->sizes[at] = size;
	ledger_add(size);
}

static __attribute__((noinline)) void resize(struct worker *worker, unsigned at, size_t size)
{
	void *block;

	if (!worker->slots[at])
		return;
	if (size % 16 == 0) { /* one that fails: the block stays */
		size_t too_much = PTRDIFF_MAX;

		OPAQUE(too_much);
		CHECK(!realloc(worker->slots[at], too_much));
	}
	block = realloc(worker->slots[at], size);
	CHECK(block);
	worker->slots[at] = block;
	ledger_resize(worker->sizes[at], size);
	worker->sizes[at] = size;
}

static void *work(void *worker_)
{
	struct worker *worker = worker_;

	while (!is_over) {
		pthread_rwlock_rdlock(&door);
		for (int i = 0; i < 100; i++) {
			unsigned at = next(worker) % SLOTS, what = next(worker) % 4;
			size_t size = 1 + next(worker) % 2000;

			if (what == 0)
				forget(worker, at);
			else if (what == 1)
				resize(worker, at, size);
			else
				make(worker, at, size);
		}
		pthread_rwlock_unlock(&door);
	}
	return NULL;
}

static __attribute__((noinline)) void make_stock(size_t count)
{
	stock = mmap(NULL, (count + 1) * sizeof(*stock), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(stock != MAP_FAILED);
	for (; stock_count < count; stock_count++) {
		size_t size = 100 + stock_count % 1000;

		stock[stock_count] = malloc(size);
		CHECK(stock[stock_count]);
		ledger_add(size);
	}
}

static void drop_stock(void)
{
	for (size_t i = 0; i < stock_count; i++) {
		free(stock[i]);
		ledger_drop(100 + i % 1000);
	}
	stock_count = 0;
}

static void end(void)
{
	pthread_rwlock_unlock(&door);
	is_over = true;
	for (unsigned i = 0; i < worker_count; i++) {
		CHECK(!pthread_join(workers[i].thread, NULL));
		for (unsigned at = 0; at < SLOTS; at++)
			forget(&workers[i], at);
	}
	drop_stock();
	pthread_rwlock_wrlock(&door);
}

static void book(const char *after)
{
	say("{\"after\":\"%s\",\"total_bytes\":%llu,\"live_bytes\":%llu,\"live_blocks\":%llu}\n",
	    after, ledger.total_bytes, ledger.live_bytes, ledger.live_blocks);
}

int main(int argc, char **argv)
{
	char line[16];
	ssize_t n;

	CHECK(argc == 3);
	ledger.has_peak = false;
	worker_count = atoi(argv[1]);
	CHECK(worker_count <= MOST_THREADS);
	say("ready\n");
	wait_for_line();
	make_stock(atoi(argv[2]));
	pthread_rwlock_wrlock(&door);
	for (unsigned i = 0; i < worker_count; i++) {
		workers[i].seed = i + 1;
		CHECK(!pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	book("stock");
	while ((n = read(0, line, sizeof(line) - 1)) > 0) {
		line[n - 1] = '\0';
		if (!strncmp(line, "go", 2)) {
			pthread_rwlock_unlock(&door);
			continue;
		}
		if (!strncmp(line, "stop", 4))
			pthread_rwlock_wrlock(&door);
		if (!strncmp(line, "drop", 4))
			drop_stock();
		if (!strncmp(line, "end", 3))
			end();
		book(line);
	}
	return 0;
}
