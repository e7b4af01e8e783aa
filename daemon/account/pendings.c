#include "pendings.h"

#include <errno.h>
#include <stdlib.h>

#define NO_PENDING UINT32_MAX

int pendings_init(struct pendings *pendings)
{
	*pendings = (struct pendings){ .first_free = NO_PENDING };
	return index_new(&pendings->by_tid);
}

void pendings_deinit(struct pendings *pendings)
{
	free(pendings->list);
	index_free(pendings->by_tid);
}

static int grow(struct pendings *pendings)
{
	uint32_t count = pendings->capacity ? 2 * pendings->capacity : 64;
	struct pending *list = realloc(pendings->list, count * sizeof(*list));

	if (!list)
		return -ENOMEM;
	pendings->list = list;
	for (uint32_t i = count; i-- > pendings->capacity;) {
		list[i].next_free = pendings->first_free;
		pendings->first_free = i;
	}
	pendings->capacity = count;
	return 0;
}

struct pending *pendings_add(struct pendings *pendings, uint32_t tid)
{
	struct index_entry *entry;
	struct pending *pending;

	if (pendings->first_free == NO_PENDING && grow(pendings) < 0)
		return NULL;
	if (index_claim(pendings->by_tid, 0, tid, &entry) < 0)
		return NULL;
	entry->point = pendings->first_free;
	pending = &pendings->list[entry->point];
	pendings->first_free = pending->next_free;
	pendings->near[tid % PENDINGS_NEAR]++;
	return pending;
}

bool pendings_take_near(struct pendings *pendings, uint32_t tid, struct pending *ret)
{
	struct index_entry entry;

	if (!index_remove(pendings->by_tid, 0, tid, &entry))
		return false;
	pendings->near[tid % PENDINGS_NEAR]--;
	*ret = pendings->list[entry.point];
	pendings->list[entry.point].next_free = pendings->first_free;
	pendings->first_free = entry.point;
	return true;
}

struct visit {
	const struct pendings *pendings;
	void (*visit)(void *ctx, const struct pending *pending);
	void *ctx;
};

static void visit_entry(void *ctx, const struct index_entry *entry)
{
	const struct visit *visit = ctx;

	visit->visit(visit->ctx, &visit->pendings->list[entry->point]);
}

void pendings_visit(const struct pendings *pendings,
		    void (*visit)(void *ctx, const struct pending *pending), void *ctx)
{
	struct visit all = { pendings, visit, ctx };

	index_visit(pendings->by_tid, visit_entry, &all);
}
