/* Walking over the chunks of an arena while its process goes on. */
#include "glibc_malloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEAP_BYTES (64ull << 20)
#define MAX_RETRIES 200
#define FENCE 16 /* size of the chunk that ends a heap: too small to be one */

/* heap_info (malloc/arena.c); what follows is not needed. */
struct heap_info {
	uint64_t arena, previous, size_bytes, writable_bytes;
};

/* A place at which the walk has been in step with the chunks. */
struct checkpoint {
	uint64_t at;
	size_t used_count;
	uint64_t used_bytes, free_bytes;
};

struct walker {
	struct remote *remote;
	uint64_t arena;
	uint64_t end; /* the top chunk; in a heap that is not the arena's newest, as far as it goes
		       */
	bool is_newest;
	struct glibc_chunks *used;
	struct glibc_walk *sums;
	struct checkpoint
		*checkpoints; /* one a window; the first is the start, which always holds */
	size_t checkpoint_count, checkpoint_capacity;
	uint64_t previous; /* the chunk before the current one; 0: none */
	unsigned retries;
	int error; /* with STEP_FAILED; 0: -ENOMEM */
};

enum step { STEP_ON, STEP_DONE, STEP_LOST, STEP_FAILED };

static uint64_t size_of(uint64_t word)
{
	return word & ~7ull;
}

static int set_checkpoint(struct walker *w, uint64_t at)
{
	if (w->checkpoint_count == w->checkpoint_capacity) {
		size_t capacity = w->checkpoint_capacity ? 2 * w->checkpoint_capacity : 64;
		struct checkpoint *grown = realloc(w->checkpoints, capacity * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		w->checkpoints = grown;
		w->checkpoint_capacity = capacity;
	}
	w->checkpoints[w->checkpoint_count++] = (struct checkpoint){
		.at = at,
		.used_count = w->used->count,
		.used_bytes = w->sums->used_bytes,
		.free_bytes = w->sums->free_bytes,
	};
	return 0;
}

/* Go back to a place before the latest checkpoint, or to the start, and read anew. */
static bool go_back(struct walker *w, uint64_t *at)
{
	const struct checkpoint *back;

	if (w->retries++ >= MAX_RETRIES)
		return false;
	if (w->checkpoint_count > 1)
		w->checkpoint_count--;
	back = &w->checkpoints[w->checkpoint_count - 1];
	*at = back->at;
	w->used->count = back->used_count;
	w->sums->used_bytes = back->used_bytes;
	w->sums->free_bytes = back->free_bytes;
	w->previous = 0;
	remote_forget_window(w->remote);
	return true;
}

/* The size word of a chunk, from the window. When that had to be read anew, what is in it is worth
 * something only if the chunk before still ends here: else the chunks have changed between the two
 * readings, and we may stand in the middle of one. The walk can be resumed at resume_at. */
static enum step read_head(struct walker *w, uint64_t at, uint64_t resume_at, uint64_t words[2])
{
	const void *head;
	uint64_t before;
	int moved;

	head = remote_window(w->remote, at, 16, &moved);
	if (!head)
		return STEP_LOST;
	memcpy(words, head, 16);
	if (!moved)
		return STEP_ON;
	if (w->previous) {
		if (remote_read(w->remote, w->previous + 8, &before, 8) < 0 ||
		    w->previous + size_of(before) != at)
			return STEP_LOST;
	}
	return set_checkpoint(w, resume_at) < 0 ? STEP_FAILED : STEP_ON;
}

/* The top may have moved since the walk began. */
static uint64_t top_now(const struct walker *w)
{
	struct glibc_arena_state state;

	if (remote_read(w->remote, w->arena, &state,
			offsetof(struct glibc_arena_state, last_remainder)) < 0)
		return 0;
	return state.top;
}

static enum step step_over(struct walker *w, uint64_t *at)
{
	uint64_t words[2], following[2], size;
	enum step step;

	if (w->is_newest && *at == w->end)
		return STEP_DONE;
	step = read_head(w, *at, *at, words);
	if (step != STEP_ON)
		return step;
	size = size_of(words[1]);
	if (!w->is_newest && (size == FENCE || size == 0))
		return STEP_DONE;
	if (size < GLIBC_MIN_CHUNK || size % 16 || words[1] & GLIBC_IS_MMAPPED)
		return STEP_LOST;
	if (size > w->end - *at) {
		uint64_t top = w->is_newest ? top_now(w) : 0;

		if (top == *at) /* it grew downwards, over us */
			return STEP_DONE;
		if (top < *at + size)
			return STEP_LOST;
		w->end = top;
	}
	/* Whether a chunk is in use, the head behind it tells. */
	w->previous = *at;
	step = read_head(w, *at + size, *at, following);
	if (step != STEP_ON)
		return step;
	if (!w->is_newest && size_of(following[1]) == 0)
		return STEP_DONE; /* a fence */
	if (following[1] & GLIBC_PREV_IN_USE) {
		w->error = glibc_chunks_add(w->used, *at, size);
		if (w->error)
			return STEP_FAILED;
		w->sums->used_bytes += size;
	} else if (following[0] == size) {
		w->sums->free_bytes += size;
	} else {
		return STEP_LOST;
	}
	*at += size;
	return STEP_ON;
}

static int walk_range(struct remote *remote, uint64_t arena, uint64_t start, uint64_t end,
		      bool is_newest, struct glibc_chunks *used, struct glibc_walk *sums)
{
	struct walker w = {
		.remote = remote,
		.arena = arena,
		.end = end,
		.is_newest = is_newest,
		.used = used,
		.sums = sums,
	};
	uint64_t at = start;
	enum step step;

	remote_forget_window(remote);
	step = set_checkpoint(&w, at) < 0 ? STEP_FAILED : STEP_ON;
	while (step == STEP_ON) {
		step = step_over(&w, &at);
		if (step != STEP_LOST)
			continue;
		if (is_newest && top_now(&w) == at) /* the heap was trimmed to here */
			step = STEP_DONE;
		else if (go_back(&w, &at))
			step = STEP_ON;
	}
	free(w.checkpoints);
	if (step == STEP_LOST)
		sums->missed++;
	return step == STEP_FAILED ? w.error ?: -ENOMEM : 0;
}

/* An arena's heaps, newest first: each names the one before it; the first holds the arena. */
static int walk_heaps(struct remote *remote, uint64_t arena, uint64_t top,
		      struct glibc_chunks *used, struct glibc_walk *sums)
{
	uint64_t heap = top & ~(HEAP_BYTES - 1);
	uint64_t info_bytes = arena & (HEAP_BYTES - 1); /* sizeof(struct heap_info) there */
	bool is_newest = true;
	int err;

	for (unsigned i = 0; heap && i < 1u << 20; i++) {
		struct heap_info info;
		uint64_t start = heap + info_bytes;

		if (remote_read(remote, heap, &info, sizeof(info)) < 0 || info.arena != arena ||
		    info.size_bytes > HEAP_BYTES) {
			sums->missed++;
			return 0;
		}
		if (heap + info_bytes ==
		    arena) /* the first block is aligned, not the first chunk */
			start = (arena + sizeof(struct glibc_arena_state) + GLIBC_CHUNK_HEAD + 15) /
					16 * 16 -
				GLIBC_CHUNK_HEAD;
		err = walk_range(remote, arena, start, is_newest ? top : heap + info.size_bytes,
				 is_newest, used, sums);
		if (err)
			return err;
		is_newest = false;
		heap = info.previous;
	}
	return 0;
}

int glibc_heap_walk(struct remote *remote, const struct glibc_heap *heap,
		    struct glibc_chunks *ret_used, struct glibc_walk *ret)
{
	*ret = (struct glibc_walk){ 0 };
	for (size_t i = 0; i < heap->arena_count; i++) {
		struct glibc_arena_state state;
		uint64_t top_words[2];
		int err;

		if (remote_read(remote, heap->arenas[i], &state, sizeof(state)) < 0)
			return -ESRCH;
		ret->system_bytes += state.system_bytes;
		if (heap->arenas[i] == heap->main_arena && !heap->main_start)
			continue;
		if (heap->arenas[i] == heap->main_arena)
			err = walk_range(remote, heap->main_arena, heap->main_start, state.top,
					 true, ret_used, ret);
		else
			err = walk_heaps(remote, heap->arenas[i], state.top, ret_used, ret);
		if (err)
			return err;
		if (remote_read(remote, state.top, top_words, sizeof(top_words)) == 0)
			ret->free_bytes += size_of(top_words[1]);
	}
	return 0;
}
