/* paced: allocates at a rate that it keeps: paced PER_100_MS. So many blocks of 100 bytes, some
 * each 10 ms, of which the last 1,000 live; until its standard input ends. What it computes beside
 * is three ms of them, so that what watching costs is a part of what it uses. It does not make up
 * for a time in which it got no CPU.
 */
#include <poll.h>
#include <time.h>

#include "ledger.h"

#define LIVE 1000
#define PERIOD_NS 10000000

static void compute(void)
{
	struct timespec begin, now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec < 3000000);
}

int main(int argc, char **argv)
{
	static void *blocks[LIVE];
	struct pollfd input = { .fd = 0, .events = POLLIN };
	struct timespec next, now;
	unsigned long at = 0;

	CHECK(argc == 2);
	say("ready\n");
	clock_gettime(CLOCK_MONOTONIC, &next);
	while (!poll(&input, 1, 0)) {
		for (int i = atoi(argv[1]) / 10; i > 0; i--, at++) {
			free(blocks[at % LIVE]);
			blocks[at % LIVE] = malloc(100);
			CHECK(blocks[at % LIVE]);
		}
		compute();
		next.tv_nsec += PERIOD_NS;
		if (next.tv_nsec >= 1000000000) {
			next.tv_nsec -= 1000000000;
			next.tv_sec++;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > next.tv_sec ||
		    (now.tv_sec == next.tv_sec && now.tv_nsec > next.tv_nsec))
			next = now;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return 0;
}
