#pragma once
/* ledger: a target's own book of what it allocated, the judge of our figures.
 *
 * The book counts as daemon/account/heap.h says: a block of size 0 is 1 byte; a realloc adds one
 * block and its full new size to the totals; among equal peaks the latest counts. It is kept in
 * static memory and printed with write(2), so that keeping it allocates nothing.
 *
 * Threads: totals and live figures may be changed by any thread. The peak is computed only while
 * ledger.has_peak holds, which a target with threads switches off.
 *
 * Options that every target takes, before its own: --gate prints {"ready":true,…} and waits for a
 * line on stdin before any work; --hold prints the book and waits for a line before exiting.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct ledger {
	atomic_ullong total_bytes, total_blocks;
	atomic_ullong live_bytes, live_blocks;
	unsigned long long peak_bytes, peak_blocks;
	bool has_peak;
	bool is_held;
};

static struct ledger ledger = { .has_peak = true };

/* The compiler must neither drop an allocation nor know where it came from. */
#define OPAQUE(p) __asm__ volatile("" : "+r"(p) : : "memory")

/* What it touches stays in memory, though others want room, and what it does not stays out of it;
 * as far as it may have that. Children have to ask for themselves. */
static inline void keep_resident(void)
{
	mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

static inline void ledger_note_peak(void)
{
	if (!ledger.has_peak || ledger.live_bytes < ledger.peak_bytes)
		return;
	ledger.peak_bytes = ledger.live_bytes;
	ledger.peak_blocks = ledger.live_blocks;
}

static inline size_t ledger_counted(size_t size_bytes)
{
	return size_bytes ? size_bytes : 1;
}

static inline void ledger_add(size_t size_bytes)
{
	size_bytes = ledger_counted(size_bytes);
	ledger.total_bytes += size_bytes;
	ledger.total_blocks++;
	ledger.live_bytes += size_bytes;
	ledger.live_blocks++;
	ledger_note_peak();
}

static inline void ledger_drop(size_t size_bytes)
{
	ledger.live_bytes -= ledger_counted(size_bytes);
	ledger.live_blocks--;
}

static inline void ledger_resize(size_t old_bytes, size_t new_bytes)
{
	new_bytes = ledger_counted(new_bytes);
	ledger.total_bytes += new_bytes;
	ledger.total_blocks++;
	ledger.live_bytes += new_bytes - ledger_counted(old_bytes);
	ledger_note_peak();
}

/* One line to stdout, whole or not at all as far as a pipe is concerned. */
static inline __attribute__((format(printf, 1, 2))) void say(const char *format, ...)
{
	char line[512];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(line) || write(1, line, len) != len)
		_exit(70);
}

static inline __attribute__((noreturn)) void fail(const char *what)
{
	char line[256];
	int len = snprintf(line, sizeof(line), "target: %s: errno %d\n", what, errno);

	if (write(2, line, len) != len)
		_exit(71);
	_exit(1);
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail(#condition);                                                          \
	} while (0)

static inline void wait_for_line(void)
{
	char c = 0;

	while (c != '\n') {
		ssize_t n = read(0, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
	}
}

/* Take the common options; returns the index of the first own argument. */
static inline int target_begin(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--hold")) {
			ledger.is_held = true;
		} else if (!strcmp(argv[i], "--gate")) {
			say("{\"ready\":true,\"pid\":%d}\n", (int)getpid());
			wait_for_line();
		} else {
			fail("unknown option");
		}
	}
	return i;
}

/* extra: more JSON members with a leading comma, or "". */
static inline void target_print(const char *extra)
{
	char peak[96] = "";

	if (ledger.has_peak)
		snprintf(peak, sizeof(peak), ",\"peak_bytes\":%llu,\"peak_blocks\":%llu",
			 ledger.peak_bytes, ledger.peak_blocks);
	say("{\"total_bytes\":%llu,\"total_blocks\":%llu,\"live_bytes\":%llu,\"live_blocks\":%llu"
	    "%s%s}\n",
	    (unsigned long long)ledger.total_bytes, (unsigned long long)ledger.total_blocks,
	    (unsigned long long)ledger.live_bytes, (unsigned long long)ledger.live_blocks, peak,
	    extra);
}

static inline int target_end(const char *extra)
{
	target_print(extra);
	if (ledger.is_held)
		wait_for_line();
	return 0;
}

static inline long arg_number(int argc, char **argv, int index, long otherwise)
{
	return index < argc ? strtol(argv[index], NULL, 10) : otherwise;
}

/* The same sequence on every machine: Knuth's MMIX multiplier, high bits only. */
static inline uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}
