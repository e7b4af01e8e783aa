#pragma once
/* settled: an inventory is taken again until it adds up.
 *
 * What is read of a process that goes on may lack something for that moment only: its heap is born
 * between the look at its mappings and the one at its memory, a thread has lost its CPU in the
 * middle of a call, a list was longer when it was read than when it was counted. A later reading is
 * as good as the first one would have been (inventory.h: events are remembered from before the
 * first one on), so there is another one, later each time, as long as reading is cheap.
 */
#include <stdbool.h>
#include <stdint.h>

#include "inventory.h"

#define SETTLED_READINGS 4 /* at most; 2 of a heap that is damaged */
/* A free() that had begun when the probes came should have reached its list by then. */
#define SETTLED_FIRST_PAUSE_NS 5000000ull
#define SETTLED_LONGER 4 /* each pause, than the one before: 0.4 s in all */
/* Of CPU time: on a machine that has little to give, a reading takes long, and is cheap. */
#define SETTLED_CHEAP_NS 100000000ull

struct inventory_taker {
	/* As inventory_take(); err is a fresh one each time. */
	int (*take)(void *context, struct inventory **ret, struct dhat_error *err);
	void (*pause)(void *context, uint64_t ns);
	uint64_t (*cpu_ns)(void *context); /* that readings have used */
	/* There is a glibc: a heap that looks unlike one may be half made. */
	bool is_awaited;
	void *context;
};

/* The first that is complete, else of all the one that lacks least. Fails as the last reading does
 * if there was none, and at once with all but -ENOENT. The caller frees with inventory_free(). */
int inventory_settle(const struct inventory_taker *taker, struct inventory **ret,
		     struct dhat_error *err);
