/* Walking over the chunks of an arena while its process goes on. */
#include "glibc_malloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define MAX_RETRIES 200
/* Of these in a row, that end at the same place with the same words there, that many. A thread may
 * have lost its CPU in the middle of malloc(): the last ones wait for it, 1, 2, 4 … 128 ms. */
#define MAX_SAME 12
#define PATIENT_FROM 4
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
	struct glibc_arena arena; /* whose top is `end` */
	uint64_t end;	/* the top chunk; where it is not in this range, as far as that goes */
	bool is_newest; /* has the top */
	bool is_main;
	struct glibc_chunks *used;
	struct glibc_walk *sums;
	struct checkpoint
		*checkpoints; /* one a window; the first is the start, which always holds */
	size_t checkpoint_count, checkpoint_capacity;
	uint64_t previous; /* the chunk before the current one; 0: none */
	unsigned retries, same;
	uint64_t lost_at, lost_word;
	int error; /* with STEP_FAILED; 0: -ENOMEM */
};

enum step { STEP_ON, STEP_DONE, STEP_LOST, STEP_FAILED };

static uint64_t size_of(uint64_t word)
{
	return word & ~7ull;
}

static int set_checkpoint(struct walker *w, uint64_t at)
{
	int err = array_make_room(&w->checkpoints, &w->checkpoint_capacity, w->checkpoint_count);

	if (err)
		return err;
	w->checkpoints[w->checkpoint_count++] = (struct checkpoint){
		.at = at,
		.used_count = w->used->count,
		.used_bytes = w->sums->used_bytes,
		.free_bytes = w->sums->free_bytes,
	};
	return 0;
}

/* Does the walk end here for the reason that it did last time? Then nothing changes. */
static void note_loss(struct walker *w, uint64_t at)
{
	uint64_t word = 0;

	remote_read(w->remote, at + 8, &word, sizeof(word));
	w->same = at == w->lost_at && word == w->lost_word ? w->same + 1 : 0;
	if (w->same >= PATIENT_FROM && w->same < MAX_SAME)
		remote_wait(w->remote, 1u << (w->same - PATIENT_FROM));
	w->lost_at = at;
	w->lost_word = word;
}

/* Go back to a place before the latest checkpoint, or to the start, and read anew. */
static bool go_back(struct walker *w, uint64_t *at)
{
	const struct checkpoint *back;

	note_loss(w, *at);
	if (w->retries++ >= MAX_RETRIES || w->same >= MAX_SAME || remote_error(w->remote))
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
	uint64_t top;

	_Static_assert(offsetof(struct glibc_arena_state, top) == 0, "a state begins with it");
	return remote_read(w->remote, glibc_state_at(&w->arena), &top, sizeof(top)) < 0 ? 0 : top;
}

static enum step step_over(struct walker *w, uint64_t *at)
{
	uint64_t words[2], following[2], size;
	enum step step;

	if (w->is_newest && *at == w->end)
		return STEP_DONE;
	if (*at >= w->end)
		return STEP_LOST;
	step = read_head(w, *at, *at, words);
	if (step != STEP_ON)
		return step;
	size = size_of(words[1]);
	if (size == FENCE && (w->is_main || !w->is_newest))
		return STEP_DONE;
	if (size == 0 && !w->is_main && !w->is_newest)
		return STEP_DONE;
	if (size < GLIBC_MIN_CHUNK || size % 16 || words[1] & GLIBC_IS_MMAPPED)
		return STEP_LOST;
	if (size > w->end - *at) {
		uint64_t top = w->is_newest ? top_now(w) : 0;

		if (top == *at) { /* it grew downwards, over us */
			w->end = top;
			return STEP_DONE;
		}
		if (top < *at + size)
			return STEP_LOST;
		w->end = top;
	}
	/* Whether a chunk is in use, the head behind it tells. */
	w->previous = *at;
	step = read_head(w, *at + size, *at, following);
	if (step != STEP_ON)
		return step;
	if (!w->is_newest && !w->is_main && size_of(following[1]) == 0)
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

/* Where a range came to its end. */
struct reached {
	uint64_t at;
	bool is_top, is_lost;
};

/* w: remote, arena, end, is_newest, is_main, used and sums are set. */
static int walk_range(struct walker *w, uint64_t start, struct reached *ret)
{
	uint64_t at = start;
	enum step step;

	remote_forget_window(w->remote);
	step = set_checkpoint(w, at) < 0 ? STEP_FAILED : STEP_ON;
	while (step == STEP_ON) {
		step = step_over(w, &at);
		if (step != STEP_LOST)
			continue;
		if (w->is_newest && top_now(w) == at) { /* the heap was trimmed to here */
			w->end = at;
			step = STEP_DONE;
		} else if (go_back(w, &at)) {
			step = STEP_ON;
		}
	}
	free(w->checkpoints);
	if (step == STEP_LOST && w->same >= MAX_SAME) {
		if (!w->sums->broken++)
			w->sums->broken_at = at;
	} else if (step == STEP_LOST) {
		w->sums->changing++;
	}
	if (remote_error(w->remote))
		return remote_error(w->remote);
	*ret = (struct reached){ .at = at,
				 .is_top = step == STEP_DONE && w->is_newest && at == w->end,
				 .is_lost = step == STEP_LOST };
	return step == STEP_FAILED ? w->error ?: -ENOMEM : 0;
}

/* The top chunk's size; 0 if it is none. */
static uint64_t top_bytes(struct remote *remote, uint64_t top)
{
	uint64_t words[2];

	return remote_read(remote, top, words, sizeof(words)) < 0 ? 0 : size_of(words[1]);
}

/* ---- arenas that consist of heaps ------------------------------------------------------------ */

/* The heap at whose end the top lies: aligned to the most that a heap may grow to, which is less
 * where malloc uses large pages. */
static uint64_t heap_of_top(struct remote *remote, uint64_t arena, uint64_t top)
{
	for (uint64_t bytes = GLIBC_HEAP_BYTES; bytes >= 128 << 10; bytes /= 2) {
		struct heap_info info;
		uint64_t heap = top & ~(bytes - 1);

		if (remote_read(remote, heap, &info, sizeof(info)) == 0 && info.arena == arena &&
		    info.size_bytes <= GLIBC_HEAP_BYTES && top - heap < info.size_bytes)
			return heap;
	}
	return 0;
}

/* An arena's heaps, newest first: each names the one before it; the first holds the arena. That
 * they end is Brent's way of finding a circle: a place that is seen again after a power of two. */
static int walk_heaps_once(struct remote *remote, struct glibc_heap *all,
			   const struct glibc_arena *arena, const struct glibc_arena_state *state,
			   struct glibc_chunks *used, struct glibc_walk *sums)
{
	uint64_t heap = heap_of_top(remote, arena->addr, state->top), seen = 0, spans = 0;
	uint64_t info_bytes = arena->addr % REMOTE_PAGE; /* sizeof(struct heap_info) there */
	size_t count = 0, power = 1;
	int err;

	if (!heap)
		sums->changing++;
	while (heap) {
		struct walker w = { .remote = remote, .arena = *arena, .used = used, .sums = sums };
		uint64_t start = heap + info_bytes;
		struct reached reached = { 0 };
		struct heap_info info;

		if (remote_read(remote, heap, &info, sizeof(info)) < 0 ||
		    info.arena != arena->addr || info.size_bytes > GLIBC_HEAP_BYTES ||
		    heap == seen) {
			if (!sums->broken++)
				sums->broken_at = heap;
			break;
		}
		if (count == power) {
			power *= 2;
			seen = heap;
		}
		if (heap + info_bytes ==
		    arena->addr) /* the first block is aligned, not the first chunk */
			start = (glibc_state_at(arena) + sizeof(*state) + GLIBC_CHUNK_HEAD + 15) /
					16 * 16 -
				GLIBC_CHUNK_HEAD;
		w.is_newest = count++ == 0;
		w.end = w.is_newest ? state->top : heap + info.size_bytes;
		err = walk_range(&w, start, &reached);
		if (!err)
			err = glibc_ranges_add(&all->parts, heap, heap + info.size_bytes);
		if (err)
			return err;
		spans += reached.is_lost ? reached.at - heap : info.size_bytes;
		heap = info.previous;
	}
	sums->free_bytes += top_bytes(remote, state->top);
	sums->system_bytes += state->system_bytes;
	if (state->system_bytes > spans)
		sums->unseen_bytes += state->system_bytes - spans;
	return 0;
}

/* What is not seen may have changed under our hands: such an arena is walked again. */
#define MAX_ATTEMPTS 3

static int walk_heaps(struct remote *remote, struct glibc_heap *all,
		      const struct glibc_arena *arena, struct glibc_chunks *used,
		      struct glibc_walk *sums)
{
	const struct glibc_walk before = *sums;
	size_t used_count = used->count, part_count = all->parts.count;
	int err = 0;

	for (int i = 0; i < MAX_ATTEMPTS && !err; i++) {
		struct glibc_arena_state state;

		*sums = before;
		used->count = used_count;
		all->parts.count = part_count;
		if (glibc_read_state(remote, arena, &state) < 0)
			return remote_error(remote) ?: -ESRCH;
		err = walk_heaps_once(remote, all, arena, &state, used, sums);
		if (sums->unseen_bytes == before.unseen_bytes || sums->broken > before.broken)
			break;
	}
	return err;
}

/* ---- main arenas ------------------------------------------------------------------------------
 *
 * A main arena has its memory from the break, in one piece, unless somebody else moves the break or
 * maps something in its way. Then the piece ends with two fences, at a page's end, and another one
 * begins behind what is not malloc's, or in a mapping of its own (sysmalloc()). Where, is not kept
 * anywhere: a piece is known by its chunks, which lead from its first one to its fences or to a
 * top. A second libc (dlmopen) never uses the break. Whose a piece is, is of no interest here.
 */

struct mains {
	struct remote *remote;
	struct glibc_heap *heap;
	struct glibc_arena_state *states;
	struct glibc_chunks *used;
	struct glibc_walk *sums;
	uint64_t spans, gaps; /* bytes of the pieces found, and between them below the break */
};

/* The lowest top in a range; the number of its arena, or main_count. */
static size_t find_top(const struct mains *m, uint64_t start, uint64_t end)
{
	size_t found = m->heap->main_count;

	for (size_t i = 0; i < m->heap->main_count; i++) {
		uint64_t top = m->states[i].top;

		if (glibc_is_in_use(&m->states[i], &m->heap->arenas[i]) && top >= start &&
		    top < end && (found == m->heap->main_count || top < m->states[found].top))
			found = i;
	}
	return found;
}

/* Fences: two of them, or three if there was no room for a chunk before them. */
static uint64_t end_behind_fences(uint64_t at)
{
	uint64_t end = (at + 2 * FENCE + REMOTE_PAGE - 1) / REMOTE_PAGE * REMOTE_PAGE;

	return end - at <= 3 * FENCE ? end : 0;
}

/* Do the chunks from at on lead to an end? */
static bool is_piece(const struct mains *m, uint64_t at, uint64_t end)
{
	uint64_t words[2];
	int moved;

	for (uint64_t chunks = 0; at < end; chunks++) {
		const void *head;
		uint64_t size;
		size_t top = find_top(m, at, at + 1);

		if (top < m->heap->main_count)
			return true;
		head = remote_window(m->remote, at, sizeof(words), &moved);
		if (!head)
			return false;
		memcpy(words, head, sizeof(words));
		size = size_of(words[1]);
		if (size == FENCE)
			return chunks && end_behind_fences(at);
		if (size < GLIBC_MIN_CHUNK || size % 16 || size > end - at ||
		    words[1] & (GLIBC_IS_MMAPPED | GLIBC_NON_MAIN) ||
		    (!chunks && !(words[1] & GLIBC_PREV_IN_USE)))
			return false;
		at += size;
	}
	return false;
}

/* Walk one piece; *end: behind it, 0 if the walk lost its way. */
static int walk_piece(struct mains *m, uint64_t start, uint64_t limit, uint64_t *end)
{
	size_t top = find_top(m, start, limit);
	bool has_top = top < m->heap->main_count;
	struct walker w = {
		.remote = m->remote,
		.arena = has_top ? m->heap->arenas[top] : (struct glibc_arena){ 0 },
		.end = has_top ? m->states[top].top : limit,
		.is_newest = has_top,
		.is_main = true,
		.used = m->used,
		.sums = m->sums,
	};
	struct reached reached = { 0 };
	int err = walk_range(&w, start, &reached);

	if (err)
		return err;
	*end = 0;
	if (reached.is_top) {
		*end = reached.at + top_bytes(m->remote, reached.at);
		m->sums->free_bytes += *end - reached.at;
	} else if (!reached.is_lost) {
		*end = end_behind_fences(reached.at);
	}
	m->spans += (*end ?: reached.at) - start;
	return 0;
}

/* The first chunk of the next piece at or above at, in steps: of 16 bytes, or of pages. */
static uint64_t find_piece(const struct mains *m, uint64_t at, uint64_t end, uint64_t step)
{
	bool is_mapped = step == REMOTE_PAGE; /* zeros before the first chunk's size then */

	while (at < end) {
		uint64_t page = at / REMOTE_PAGE * REMOTE_PAGE;
		uint64_t there = remote_next_page(m->remote, page, end), words[2];
		int moved;
		const void *head;

		if (there > page)
			at = there;
		if (at >= end)
			break;
		head = remote_window(m->remote, at, sizeof(words), &moved);
		if (head) {
			memcpy(words, head, sizeof(words));
			if (words[1] & GLIBC_PREV_IN_USE && !(is_mapped && words[0]) &&
			    size_of(words[1]) >= GLIBC_MIN_CHUNK && is_piece(m, at, end))
				return at;
		}
		at += step;
	}
	return 0;
}

static int walk_below_break(struct mains *m)
{
	uint64_t at = m->heap->first_chunk, limit = m->heap->brk.end, end = 0;
	int err = 0;

	/* the break may have moved up since */
	for (size_t i = 0; i < m->heap->main_count; i++)
		if (m->states[i].top > limit && m->states[i].top < m->heap->brk_room_end)
			limit = m->states[i].top + 1;
	while (at && at < limit && !err) {
		err = walk_piece(m, at, limit, &end);
		if (err || !end)
			break;
		at = find_piece(m, end, limit, 16);
		if (at)
			m->gaps += at - end;
	}
	return err ? err : remote_error(m->remote);
}

/* What the arenas have and we have not come to. Memory that others took from the break counts as
 * malloc's while its own is in one piece. */
static uint64_t unseen_bytes(const struct mains *m)
{
	uint64_t system = 0, unseen;

	for (size_t i = 0; i < m->heap->main_count; i++)
		system += m->states[i].system_bytes;
	unseen = system > m->spans ? system - m->spans : 0;
	if (unseen >= m->gaps)
		unseen -= m->gaps;
	return unseen > 16 ? unseen : 0; /* up to that: where the first chunk was aligned */
}

static int walk_mapped(struct mains *m)
{
	int err = 0;

	for (size_t i = 0; i < m->heap->mapped.count && !err && unseen_bytes(m); i++) {
		const struct glibc_range *range = &m->heap->mapped.list[i];
		uint64_t at = range->start, end;

		while (!err && (at = find_piece(m, at, range->end, REMOTE_PAGE))) {
			err = walk_piece(m, at, range->end, &end);
			if (err || !end)
				break;
			err = glibc_ranges_add(&m->heap->parts, at, end);
			at = (end + REMOTE_PAGE - 1) / REMOTE_PAGE * REMOTE_PAGE;
		}
	}
	return err ? err : remote_error(m->remote);
}

static int read_states(struct mains *m)
{
	for (size_t i = 0; i < m->heap->main_count; i++)
		if (glibc_read_state(m->remote, &m->heap->arenas[i], &m->states[i]) < 0)
			return remote_error(m->remote) ?: -ESRCH;
	return 0;
}

static int walk_mains(struct mains *m)
{
	size_t used = m->used->count;
	int err = 0;

	for (int i = 0; i < MAX_ATTEMPTS && !err; i++) {
		*m->sums = (struct glibc_walk){ 0 };
		m->used->count = used;
		m->heap->parts.count = 0;
		m->spans = m->gaps = 0;
		err = read_states(m);
		if (!err)
			err = walk_below_break(m);
		if (!err)
			err = walk_mapped(m);
		if (!err)
			m->sums->unseen_bytes = unseen_bytes(m);
		if (m->sums->broken && m->sums->unseen_bytes)
			break; /* it was waited for already */
		if (err || m->sums->unseen_bytes)
			continue;
		*m->sums = (struct glibc_walk){ .used_bytes = m->sums->used_bytes,
						.free_bytes = m->sums->free_bytes };
		break;
	}
	for (size_t i = 0; i < m->heap->main_count; i++)
		m->sums->system_bytes += m->states[i].system_bytes;
	return err;
}

int glibc_heap_walk(struct remote *remote, struct glibc_heap *heap, struct glibc_chunks *ret_used,
		    struct glibc_walk *ret)
{
	_cleanup_free_ struct glibc_arena_state *states = calloc(heap->main_count, sizeof(*states));
	struct mains mains = {
		.remote = remote,
		.heap = heap,
		.states = states,
		.used = ret_used,
		.sums = ret,
	};
	int err;

	*ret = (struct glibc_walk){ 0 };
	if (!states)
		return -ENOMEM;
	err = walk_mains(&mains);
	for (size_t i = heap->main_count; i < heap->arena_count && !err; i++)
		err = walk_heaps(remote, heap, &heap->arenas[i], ret_used, ret);
	return err;
}
