#include "block_list.h"

#include <errno.h>
#include <stdlib.h>

#include "bpf/dhat_abi.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/sort.h"
#include "proto/profile/pages.h"

#define ADDR_BITS 57 /* of what a process can have, with page tables of five levels */
#define POINT_BITS 20
#define AGE_BITS 4
#define SIZE_HIGH_BITS (64 - ADDR_BITS)
#define SIZE_LOW_BITS (32 - POINT_BITS - AGE_BITS - 1)
#define FAR ((1u << (SIZE_HIGH_BITS + SIZE_LOW_BITS)) - 1) /* such a size is kept beside */

_Static_assert(DHAT_PAGE_AGES <= 1 << AGE_BITS, "an age has room");

/* place: the address, then the size's high bits; what orders by it orders by address. */
struct entry {
	uint64_t place;
	uint32_t point : POINT_BITS;
	uint32_t age : AGE_BITS;
	uint32_t is_mapped : 1;
	uint32_t size_low : SIZE_LOW_BITS;
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct entry) == 12, "what a block costs");

/* Of two at one address (a pool's in malloc's) the points differ, or nobody minds. */
struct far_block {
	uint64_t addr, size_bytes;
	uint32_t point;
	bool is_mapped;
};

struct block_list {
	struct entry *entries;
	size_t count, room;
	struct far_block *far;
	size_t far_count, far_room;
};

void block_list_free(struct block_list *list)
{
	if (!list)
		return;
	free(list->entries);
	free(list->far);
	free(list);
}
DEFINE_CLEANUP_PTR(struct block_list *, block_list_free)

int block_list_new(uint64_t room, struct block_list **ret)
{
	_cleanup_(block_list_free_ptr) struct block_list *list = calloc(1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	list->entries = reallocarray(NULL, room + 1, sizeof(*list->entries));
	if (!list->entries)
		return -ENOMEM;
	list->room = room;
	*ret = take_ptr(list);
	return 0;
}

uint64_t block_list_bytes(uint64_t blocks, uint64_t live_bytes)
{
	uint64_t far = live_bytes / FAR;

	if (far > blocks)
		far = blocks;
	/* an array that doubles is half empty at worst */
	return blocks * sizeof(struct entry) + 2 * far * sizeof(struct far_block);
}

static int add_far(struct block_list *list, const struct block *block)
{
	if (array_make_room(&list->far, &list->far_room, list->far_count))
		return -ENOMEM;
	list->far[list->far_count++] = (struct far_block){
		.addr = block->addr,
		.size_bytes = block->size_bytes,
		.point = block->point,
		.is_mapped = block->domain == DHAT_DOMAIN_ANON,
	};
	return 0;
}

int block_list_add(struct block_list *list, const struct block *block, uint64_t now_ns)
{
	uint32_t size = block->size_bytes < FAR ? block->size_bytes : FAR;

	if (block->addr >> ADDR_BITS || block->point >> POINT_BITS)
		return -EOVERFLOW;
	if (list->count == list->room)
		return -ENOSPC;
	if (size == FAR && add_far(list, block))
		return -ENOMEM;
	list->entries[list->count++] = (struct entry){
		.place = block->addr << SIZE_HIGH_BITS | size >> SIZE_LOW_BITS,
		.point = block->point,
		.age = block->was_before ? DHAT_PAGE_AGE_BEFORE
					 : dhat_page_age(now_ns - block->birth_ns),
		.is_mapped = block->domain == DHAT_DOMAIN_ANON,
		.size_low = size & ((1u << SIZE_LOW_BITS) - 1),
	};
	return 0;
}

/* ---- sorting ----------------------------------------------------------------------------- */

static inline uint64_t place_of(const struct entry *entry)
{
	return entry->place;
}

DEFINE_SORT_BY_NUMBER(sort_by_place, struct entry, place_of)

static int by_addr(const void *a, const void *b)
{
	const struct far_block *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	if (x->point != y->point)
		return x->point < y->point ? -1 : 1;
	return x->is_mapped - y->is_mapped;
}

void block_list_sort(struct block_list *list)
{
	sort_by_place(list->entries, list->count);
	if (list->far_count)
		qsort(list->far, list->far_count, sizeof(*list->far), by_addr);
}

/* ---- asking ------------------------------------------------------------------------------ */

size_t block_list_count(const struct block_list *list)
{
	return list->count;
}

static uint64_t far_size(const struct block_list *list, const struct listed_block *block)
{
	const struct far_block wanted = {
		.addr = block->addr,
		.point = block->point,
		.is_mapped = block->is_mapped,
	};
	const struct far_block *found =
		bsearch(&wanted, list->far, list->far_count, sizeof(*list->far), by_addr);

	return found->size_bytes; /* it was added with it */
}

struct listed_block block_list_at(const struct block_list *list, size_t number)
{
	const struct entry *entry = &list->entries[number];
	struct listed_block block = {
		.addr = entry->place >> SIZE_HIGH_BITS,
		.size_bytes = (entry->place & ((1u << SIZE_HIGH_BITS) - 1)) << SIZE_LOW_BITS |
			      entry->size_low,
		.point = entry->point,
		.age = entry->age,
		.is_mapped = entry->is_mapped,
	};

	if (block.size_bytes == FAR)
		block.size_bytes = far_size(list, &block);
	return block;
}
