#pragma once
/* pendings: the blocks between the two phases of realloc, by thread. */
#include <stdbool.h>
#include <stdint.h>

#include "block.h"
#include "proto/base/index.h"

/* `block` is what the heap's table held; for a block that it did not hold, is_known is false and
 * block.size_bytes what the allocator told of its size. */
struct pending {
	struct block block;
	bool is_known;
	uint32_t next_free; /* in the list of unused ones */
};
#define PENDINGS_NEAR 1024

struct pendings {
	struct index *by_tid; /* point: index in list */
	/* how many threads have one, by the last bits of their numbers: most have not, and this
	 * is asked at each event */
	uint32_t near[PENDINGS_NEAR];
	struct pending *list;
	uint32_t capacity, first_free;
};

/* 0 or -ENOMEM. To be given to pendings_deinit() when it failed, too. */
int pendings_init(struct pendings *pendings);
void pendings_deinit(struct pendings *pendings);

/* For a thread that has none. The caller fills it in; it stays where it is until the next one is
 * added. NULL: no memory. */
struct pending *pendings_add(struct pendings *pendings, uint32_t tid);

/* All that there are, in no order. */
void pendings_visit(const struct pendings *pendings,
		    void (*visit)(void *ctx, const struct pending *pending), void *ctx);

/* pendings_take() of a thread that may have one. */
bool pendings_take_near(struct pendings *pendings, uint32_t tid, struct pending *ret);

/* False: the thread has none. */
static inline bool pendings_take(struct pendings *pendings, uint32_t tid, struct pending *ret)
{
	return pendings->near[tid % PENDINGS_NEAR] && pendings_take_near(pendings, tid, ret);
}
