#include "census.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block_list.h"
#include "bpf/dhat_abi.h"
#include "proto/base/cleanup.h"

struct census_page {
	struct census_point points[CENSUS_PAGE_POINTS];
};

void census_free(struct census *census)
{
	if (!census)
		return;
	for (uint32_t i = 0; i < census->page_room; i++)
		free(census->pages[i]);
	free(census->pages);
	index_free(census->late);
	free(census);
}
DEFINE_CLEANUP_PTR(struct census *, census_free)

int census_new(uint64_t older_ns, struct census **ret)
{
	_cleanup_(census_free_ptr) struct census *census = calloc(1, sizeof(*census));
	int error = census ? index_new(&census->late) : -ENOMEM;

	if (error)
		return error;
	census->older_ns = older_ns;
	*ret = take_ptr(census);
	return 0;
}

uint64_t census_bytes(uint32_t points)
{
	uint64_t pages = points / CENSUS_PAGE_POINTS + 1;

	return pages * (sizeof(struct census_page) + 2 * sizeof(struct census_page *));
}

const struct census_point *census_at(const struct census *census, uint32_t point)
{
	static const struct census_point none;
	uint32_t page = point / CENSUS_PAGE_POINTS;

	if (page >= census->page_room || !census->pages[page])
		return &none;
	return &census->pages[page]->points[point % CENSUS_PAGE_POINTS];
}

static struct census_page *make_page(struct census *census, uint32_t number)
{
	uint32_t room = census->page_room ? census->page_room : 16;
	struct census_page **pages;

	while (room <= number)
		room *= 2;
	if (room > census->page_room) {
		pages = reallocarray(census->pages, room, sizeof(*pages));
		if (!pages)
			return NULL;
		memset(pages + census->page_room, 0, (room - census->page_room) * sizeof(*pages));
		census->pages = pages;
		census->page_room = room;
	}
	if (!census->pages[number])
		census->pages[number] = calloc(1, sizeof(struct census_page));
	return census->pages[number];
}

static void list_block(struct census *census, const struct block *block)
{
	int error = block_list_add(census->list, block, census->time_ns);

	if (error)
		census->error = error;
}

static uint64_t slack_of(const struct census *census, const struct block *block)
{
	if (block->domain || block->was_before) /* else it is the allocator's size */
		return 0;
	return size_classes_usable(census->classes, block->size_bytes) - block->size_bytes;
}

/* Keeps C1 of the blocks that a sampled one stands for. */
static void weigh(const struct census *census, const struct block *block, struct census_step *step)
{
	struct sample_weight weight;

	if (block->is_single)
		return;
	weight = sample_weigh(&census->sample, block->size_bytes);
	step->bytes = weight.bytes;
	step->blocks = sample_whole_by(weight.blocks, block->addr);
	step->slack_bytes = (uint64_t)((double)step->slack_bytes * weight.blocks / SAMPLE_BLOCK);
}

static uint32_t more(uint32_t count, uint64_t blocks)
{
	return blocks < UINT32_MAX - count ? count + (uint32_t)blocks : UINT32_MAX;
}

/* false: it is not to be counted, or there is no memory. */
static bool find(struct census *census, const struct block *block, struct census_step *ret)
{
	struct census_page *page;

	if (block->birth_ns >= census->time_ns)
		return false;
	if (census->list)
		list_block(census, block);
	page = make_page(census, block->point / CENSUS_PAGE_POINTS);
	if (!page) {
		census->error = -ENOMEM;
		return false;
	}
	*ret = (struct census_step){
		.point = &page->points[block->point % CENSUS_PAGE_POINTS],
		.age_ns = census->time_ns - block->birth_ns,
		.size_bytes = block->size_bytes,
		.slack_bytes = slack_of(census, block),
		.bytes = block->size_bytes,
		.blocks = 1,
	};
	if (census->sample.bytes)
		weigh(census, block, ret);
	return true;
}

static void count(const struct census *census, const struct census_step *step)
{
	struct census_point *point = step->point;

	uint32_t *age = &point->ages[dhat_age_bucket(step->age_ns)];
	uint32_t *size = &point->sizes[dhat_size_bucket(step->size_bytes)];

	*age = more(*age, step->blocks);
	*size = more(*size, step->blocks);
	if (step->slack_bytes)
		point->slack_bytes += step->slack_bytes;
	if (!census->older_ns || step->age_ns < census->older_ns)
		return;
	point->older_bytes += step->bytes;
	point->older_blocks += step->blocks;
}

void census_count(struct census *census, const struct block *block)
{
	struct census_step step;

	if (find(census, block, &step))
		count(census, &step);
}

void census_count_soon(struct census *census, const struct block *block)
{
	struct census_step *last = &census->ahead[census->ahead_at++ % CENSUS_AHEAD], step;

	if (!find(census, block, &step))
		return;
	__builtin_prefetch(&step.point->ages[dhat_age_bucket(step.age_ns)], 1);
	__builtin_prefetch(&step.point->sizes[dhat_size_bucket(step.size_bytes)], 1);
	if (step.slack_bytes)
		__builtin_prefetch(&step.point->slack_bytes, 1);
	if (last->point)
		count(census, last);
	*last = step;
}

void census_settle(struct census *census)
{
	for (uint32_t i = 0; i < CENSUS_AHEAD; i++) {
		if (census->ahead[i].point)
			count(census, &census->ahead[i]);
		census->ahead[i].point = NULL;
	}
}

bool census_is_late(const struct census *census, const struct block *block)
{
	return index_count(census->late) && index_find(census->late, block->domain, block->addr);
}

void census_put(struct census *census, const struct block *block)
{
	struct index_entry *unused;

	if (block->birth_ns < census->time_ns &&
	    index_claim(census->late, block->domain, block->addr, &unused) < 0)
		census->error = -ENOMEM;
}

void census_take(struct census *census, const struct block *block)
{
	if (!index_remove(census->late, block->domain, block->addr, NULL))
		census_count(census, block);
}
