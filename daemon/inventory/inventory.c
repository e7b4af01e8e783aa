#include "inventory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/proc/remote.h"
#include "daemon/source/probed.h"
#include "glibc_malloc.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/units.h"

DEFINE_CLEANUP_PTR(struct remote *, remote_free)

/* All that the readings bring together. */
struct readings {
	struct glibc_heap heap;
	struct glibc_chunks used[2]; /* first and second walk */
	struct glibc_walk walks[2];
	struct glibc_chunks fastbins, cached, internal, mmapped;
	struct glibc_lists_missed lists;
	uint64_t mmapped_bytes, mmapped_expected;
};

static void readings_deinit(struct readings *r)
{
	glibc_heap_deinit(&r->heap);
	glibc_chunks_deinit(&r->used[0]);
	glibc_chunks_deinit(&r->used[1]);
	glibc_chunks_deinit(&r->fastbins);
	glibc_chunks_deinit(&r->cached);
	glibc_chunks_deinit(&r->internal);
	glibc_chunks_deinit(&r->mmapped);
}

void inventory_free(struct inventory *inventory)
{
	if (!inventory)
		return;
	free(inventory->blocks);
	free(inventory);
}
DEFINE_CLEANUP_PTR(struct inventory *, inventory_free)

/* Nobody has allocated yet from any of them, so that there need be no caches either. (There may be
 * blocks with a mapping of their own.) */
static bool is_unused(struct remote *remote, const struct glibc_heap *heap)
{
	for (size_t i = 0; i < heap->main_count; i++) {
		struct glibc_arena_state state;

		if (glibc_read_state(remote, &heap->arenas[i], &state) < 0 ||
		    glibc_is_in_use(&state, &heap->arenas[i]))
			return false;
	}
	return heap->main_count == heap->arena_count;
}

static int read_heap(struct remote *remote, const struct procmaps *maps, struct readings *r)
{
	int err = glibc_heap_find(remote, maps, &r->heap);
	bool is_used = !err && !is_unused(remote, &r->heap);

	if (is_used)
		err = glibc_heap_walk(remote, &r->heap, &r->used[0], &r->walks[0]);
	if (!err && is_used)
		err = glibc_heap_cached(remote, &r->heap, &r->fastbins, &r->cached, &r->internal,
					&r->lists);
	if (!err)
		err = glibc_heap_mmapped(remote, &r->heap, &r->mmapped, &r->mmapped_bytes,
					 &r->mmapped_expected);
	if (!err && is_used)
		err = glibc_heap_walk(remote, &r->heap, &r->used[1], &r->walks[1]);
	if (err)
		return err;
	glibc_chunks_sort(&r->used[0]);
	glibc_chunks_sort(&r->used[1]);
	glibc_chunks_sort(&r->fastbins);
	glibc_chunks_sort(&r->cached);
	glibc_chunks_sort(&r->internal);
	return 0;
}

/* ---- putting it together ------------------------------------------------------------------ */

static void add_block(struct inventory *inventory, uint64_t chunk, uint64_t usable_bytes)
{
	inventory->blocks[inventory->count++] = (struct inventory_block){
		.addr = chunk + GLIBC_CHUNK_HEAD,
		.usable_bytes = usable_bytes,
	};
	inventory->usable_bytes += usable_bytes;
}

/* Chunks that both walks saw, equal in size, and that no list of free ones holds. A chunk may use
 * the first word of the next one. */
static void add_arena_blocks(struct inventory *inventory, const struct readings *r)
{
	size_t again = 0;

	for (size_t i = 0; i < r->used[0].count; i++) {
		const struct glibc_chunk *chunk = &r->used[0].list[i];

		while (again < r->used[1].count && r->used[1].list[again].addr < chunk->addr)
			again++;
		if (again == r->used[1].count || r->used[1].list[again].addr != chunk->addr ||
		    r->used[1].list[again].size_bytes != chunk->size_bytes)
			continue;
		if (glibc_chunks_have(&r->internal, chunk->addr))
			inventory->internal_bytes += chunk->size_bytes;
		else if (glibc_chunks_have(&r->cached, chunk->addr))
			inventory->cached_bytes += chunk->size_bytes;
		else if (glibc_chunks_have(&r->fastbins, chunk->addr))
			inventory->fastbin_bytes += chunk->size_bytes;
		else {
			inventory->arena_block_bytes += chunk->size_bytes;
			add_block(inventory, chunk->addr, chunk->size_bytes - 8);
		}
	}
}

static void add_mmapped_blocks(struct inventory *inventory, const struct readings *r)
{
	for (size_t i = 0; i < r->mmapped.count; i++) {
		const struct glibc_chunk *chunk = &r->mmapped.list[i];

		if (glibc_chunks_have(&r->cached, chunk->addr)) {
			inventory->cached_mmapped_bytes += chunk->size_bytes;
			inventory->cached_mmapped_count++;
			continue;
		}
		add_block(inventory, chunk->addr, chunk->size_bytes - GLIBC_CHUNK_HEAD);
		inventory->mmapped_count++;
	}
	inventory->mmapped_bytes = r->mmapped_bytes;
}

static int by_addr(const void *a, const void *b)
{
	const struct inventory_block *x = a, *y = b;

	return (x->addr > y->addr) - (x->addr < y->addr);
}

/* Why a part of the heap was not seen. */
static void note_unseen(struct inventory *inventory, const struct glibc_walk *walk)
{
	char unseen[DHAT_UNIT_CHARS], all[DHAT_UNIT_CHARS];
	char *note = inventory->note;
	size_t size = sizeof(inventory->note), used;

	used = snprintf(note, size,
			"%s of the %s that malloc has from the kernel could not be walked, and the "
			"blocks in there are missing: ",
			dhat_format_size(walk->unseen_bytes, unseen),
			dhat_format_size(walk->system_bytes, all));
	if (walk->broken)
		snprintf(note + used, size - used,
			 "the chain of blocks breaks at 0x%" PRIx64
			 ", where the heap is damaged or something else lies in it",
			 walk->broken_at);
	else if (walk->changing)
		snprintf(note + used, size - used, "they changed too fast to be read");
	else
		snprintf(note + used, size - used, "where they are was not found");
}

static void note_what_was_missed(struct inventory *inventory, const struct readings *r)
{
	char *note = inventory->note;
	size_t size = sizeof(inventory->note);

	inventory->is_complete = true;
	inventory->is_damaged = r->walks[0].broken || r->walks[1].broken || r->lists.circular;
	if (inventory->unseen_bytes)
		note_unseen(inventory, r->walks[0].unseen_bytes > r->walks[1].unseen_bytes
					       ? &r->walks[0]
					       : &r->walks[1]);
	else if (r->lists.circular)
		snprintf(note, size,
			 "%" PRIu64 " list%s of free blocks run%s in a circle, as after a double "
			 "free: what else may be in there is taken for live",
			 r->lists.circular, r->lists.circular == 1 ? "" : "s",
			 r->lists.circular == 1 ? "s" : "");
	else if (r->lists.changing)
		snprintf(note, size,
			 "%" PRIu64 " list%s of free blocks could not be read: what is in there is "
			 "taken for live",
			 r->lists.changing, r->lists.changing == 1 ? "" : "s");
	else if (r->mmapped_expected != UINT64_MAX &&
		 r->mmapped_expected != inventory->mmapped_bytes)
		snprintf(note, size,
			 "blocks with a mapping of their own: %" PRIu64 " bytes found, malloc has "
			 "%" PRIu64,
			 inventory->mmapped_bytes, r->mmapped_expected);
	else
		return;
	inventory->is_complete = false;
}

static int put_together(const struct readings *r, struct inventory **ret)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = calloc(1, sizeof(*inventory));
	uint64_t covered;

	if (!inventory)
		return -ENOMEM;
	inventory->blocks =
		malloc((r->used[0].count + r->mmapped.count + 1) * sizeof(*inventory->blocks));
	if (!inventory->blocks)
		return -ENOMEM;
	inventory->arena_count = r->heap.arena_count;
	inventory->arena_bytes = r->walks[1].system_bytes;
	inventory->free_bytes = r->walks[1].free_bytes;
	/* Whatever is no chunk: malloc_state and heap_info, ends of heaps, alignment. */
	inventory->unseen_bytes = r->walks[0].unseen_bytes > r->walks[1].unseen_bytes
					  ? r->walks[0].unseen_bytes
					  : r->walks[1].unseen_bytes;
	covered = r->walks[1].used_bytes + r->walks[1].free_bytes + r->walks[1].unseen_bytes;
	if (inventory->arena_bytes > covered)
		inventory->internal_bytes = inventory->arena_bytes - covered;
	add_arena_blocks(inventory, r);
	add_mmapped_blocks(inventory, r);
	if (r->mmapped.count) /* the others are in order already */
		qsort(inventory->blocks, inventory->count, sizeof(*inventory->blocks), by_addr);
	note_what_was_missed(inventory, r);
	*ret = take_ptr(inventory);
	return 0;
}

int inventory_take_from(struct remote *remote, const struct procmaps *maps, uint64_t max_blocks,
			struct inventory **ret)
{
	_cleanup_(readings_deinit) struct readings readings = {
		.used = { { .max = max_blocks }, { .max = max_blocks } },
		.fastbins = { .max = max_blocks },
		.cached = { .max = max_blocks },
		.internal = { .max = max_blocks },
		.mmapped = { .max = max_blocks },
	};
	int error = read_heap(remote, maps, &readings);

	return error ? error : put_together(&readings, ret);
}

#define OLDEST_GLIBC 32 /* 2.… */
#define NEWEST_GLIBC 44

bool inventory_knows(const char *glibc)
{
	unsigned major, minor;

	if (sscanf(glibc, "glibc %u.%u", &major, &minor) != 2)
		return true;
	return major == 2 && minor >= OLDEST_GLIBC && minor <= NEWEST_GLIBC;
}

static int refuse_unknown(const struct probed *probed, struct dhat_error *err)
{
	for (size_t i = 0; probed && i < probed->allocator_count; i++)
		if (probed->allocators[i].is_glibc && !inventory_knows(probed->allocators[i].name))
			return dhat_error_set(
				err, ENOENT, DHAT_EXIT_NO_ALLOCATOR,
				"%s is not known: of 2.%d to 2.%d the heap's layout is",
				probed->allocators[i].name, OLDEST_GLIBC, NEWEST_GLIBC);
	return 0;
}

int inventory_take(pid_t pid, const struct procmaps *maps, const struct inventory_limits *limits,
		   struct inventory **ret, struct dhat_error *err)
{
	_cleanup_(remote_free_ptr) struct remote *remote = NULL;
	int error = refuse_unknown(limits->probed, err);

	if (error)
		return error;
	error = remote_open(pid, &remote);
	if (error == 0) {
		remote_limit(remote, limits->stop,
			     limits->max_ns ? clock_now_ns(CLOCK_MONOTONIC) + limits->max_ns : 0);
		error = inventory_take_from(remote, maps, limits->max_blocks, ret);
	}
	if (error == -ENOENT)
		return dhat_error_set(err, ENOENT, DHAT_EXIT_NO_ALLOCATOR,
				      "process %d has no heap that is laid out as those of glibc "
				      "2.%d to 2.%d",
				      pid, OLDEST_GLIBC, NEWEST_GLIBC);
	if (error == -E2BIG)
		return dhat_error_set(err, E2BIG, DHAT_EXIT_FAILED,
				      "process %d has more than %" PRIu64 " blocks from before the "
				      "attach: they are not listed; a larger --max-memory helps",
				      pid, limits->max_blocks);
	if (error == -ETIMEDOUT)
		return dhat_error_set(
			err, ETIMEDOUT, DHAT_EXIT_FAILED,
			"the heap of process %d was not read to its end within %" PRIu64
			" s: its blocks from before the attach are not listed",
			pid, limits->max_ns / 1000000000);
	if (error)
		return dhat_error_errno(err, -error, "cannot read the heap of process %d", pid);
	return 0;
}
