/* growing_service: everything that a leak is taken for, and two leaks, in seconds instead of hours.
 * A line on stdin begins it; it works until stdin ends.
 *
 * load_tables    allocated at once in the beginning
 * handle         10,000 requests a round, each freed after some others; one a round is kept: the
 * slow leak log_event      a block a round, never freed: the leak cache_page     a cache that is
 * full after 20 rounds, and replaces its oldest page from then on
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define OPAQUE(p) __asm__ volatile("" : "+r"(p)::"memory")
#define REQUESTS 10000
#define AT_ONCE 50
#define PAGES 100
#define PAGES_A_ROUND 5

static void *requests[AT_ONCE], *pages[PAGES];
static unsigned next_page;

static NOINLINE void load_tables(void)
{
	for (int i = 0; i < 500; i++) {
		void *p = malloc(4000);

		OPAQUE(p);
	}
}

static NOINLINE void *handle(void)
{
	void *p = malloc(120);

	OPAQUE(p);
	return p;
}

static NOINLINE void log_event(void)
{
	void *p = malloc(3000);

	OPAQUE(p);
}

static NOINLINE void cache_page(void)
{
	void *p = malloc(8000);

	OPAQUE(p);
	free(pages[next_page]);
	pages[next_page] = p;
	next_page = (next_page + 1) % PAGES;
}

static void serve_round(void)
{
	void *kept = handle();

	OPAQUE(kept);
	for (int i = 1; i < REQUESTS; i++) {
		free(requests[i % AT_ONCE]);
		requests[i % AT_ONCE] = handle();
	}
	log_event();
	for (int i = 0; i < PAGES_A_ROUND; i++)
		cache_page();
}

int main(void)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	char line[8];

	puts("ready");
	fflush(stdout);
	if (read(0, line, sizeof(line)) <= 0)
		return 1;
	load_tables();
	while (poll(&in, 1, 0) == 0)
		serve_round();
	return 0;
}
