#pragma once
/* moments: what was allocated since each of some moments and still lives, by program point.
 *
 * Pure. Moments cut time into spans. Of each span the bytes and blocks of the live blocks that were
 * born in it are kept, for each point and in all; what was allocated since a moment is the sum over
 * the spans from it on. So an event changes one span, found by the block's birth.
 * M1: a span's figures in all are those of the live blocks born in it, whatever memory there is.
 * M2: so are a point's, or none of its page (64 points) are kept, from the first block on, for want
 *     of memory. Those are point 0's in a copy.
 * M3: moments ascend; no block that was counted before a moment was made was born after it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/budget.h"

#define MOMENTS_MAX 32
#define MOMENTS_NAME_CHARS 64 /* with the final 0 */
#define MOMENTS_PAGE_SHIFT 6
#define MOMENTS_PAGE_POINTS (1u << MOMENTS_PAGE_SHIFT)

struct moments_figures {
	uint64_t bytes, blocks;
};

struct moments_page;
struct moment {
	char name[MOMENTS_NAME_CHARS];
	struct moments_figures born; /* live blocks of the span that begins here */
	struct moments_page **pages;
	uint32_t page_room;
	bool is_full; /* `pages` could not grow: what is behind is refused */
};

struct moments { /* all 0: none */
	uint32_t count;
	bool has_parts;			/* blocks are counted in parts (sample.h), and told whole */
	uint64_t times_ns[MOMENTS_MAX]; /* CLOCK_MONOTONIC */
	struct moment list[MOMENTS_MAX];
	struct budget budget;
};

void moments_deinit(struct moments *moments);
/* What it takes from now on is budget's, twice: a copy needs as much. At most a quarter of it: what
 * has no room then is told by M2. */
void moments_charge(struct moments *moments, struct budget *budget);

/* All blocks that were counted until now were whole ones: from now on they are in parts. */
void moments_begin_parts(struct moments *moments);
/* A moment later than all others; M3 is the caller's. -EEXIST: the name is taken. -ENOSPC: there
 * are MOMENTS_MAX. */
int moments_add(struct moments *moments, const char *name, uint64_t time_ns);
/* Its span becomes part of the one before; O(points). -ENOENT: there is none of that name. */
int moments_remove(struct moments *moments, const char *name);

void moments_count_born(struct moments *moments, uint32_t point, uint64_t birth_ns, uint64_t bytes,
			uint64_t blocks);
/* A block comes (or goes: negative), with the birth that it is counted by all its life. */
static inline void moments_count(struct moments *moments, uint32_t point, uint64_t birth_ns,
				 int64_t bytes, int64_t blocks)
{
	if (moments->count && birth_ns >= moments->times_ns[0])
		moments_count_born(moments, point, birth_ns, bytes, blocks);
}

/* Of a block that will come or go soon: what it needs is brought near. */
void moments_prefetch(const struct moments *moments, uint32_t point, uint64_t birth_ns);

/* In all, since the moment of that number. */
struct moments_figures moments_since(const struct moments *moments, uint32_t moment);

/* What its figures take, and as much a copy of them. */
uint64_t moments_bytes(const struct moments *moments);
/* A copy that is charged to nobody, in which all figures have a point (M2), or which has none of
 * points. The caller frees it by moments_free(). -ENOMEM. */
int moments_copy(const struct moments *moments, bool with_points, struct moments **ret);
void moments_free(struct moments *moments);
/* Of a copy: a point's figures since each moment. */
void moments_of_point(const struct moments *copy, uint32_t point,
		      struct moments_figures ret[MOMENTS_MAX]);
