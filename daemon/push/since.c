#include "since.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

struct stack {
	uint64_t hash, bytes, blocks;
};

struct since {
	uint64_t unix_ns;
	size_t count;
	struct stack stacks[]; /* by hash, each once */
};

DEFINE_CLEANUP_PTR(struct since *, since_free)

void since_free(struct since *since)
{
	free(since);
}

/* FNV-1a, 64 bits */
static uint64_t mix(uint64_t hash, const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3ull;
	return hash;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
	return mix(hash, text, strlen(text) + 1);
}

/* The same place of a file wherever it is mapped; code without a file by its address. */
static uint64_t mix_frame(uint64_t hash, const Dhat__Frame *frame)
{
	uint64_t place = *frame->object ? frame->object_vaddr : frame->address;

	hash = mix_text(hash, frame->object);
	hash = mix_text(hash, frame->build_id);
	hash = mix(hash, &place, sizeof(place));
	return mix(hash, &frame->left_out, sizeof(frame->left_out));
}

static uint64_t hash_of(const struct dhat_snapshot *snapshot, const Dhat__ProgramPoint *point)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < point->n_frames; i++)
		hash = mix_frame(hash, snapshot->frames[point->frames[i] - 1]);
	hash = mix_text(hash, point->stop);
	hash = mix_text(hash, point->label);
	return mix_text(hash, point->kind);
}

static int by_hash(const void *a_, const void *b_)
{
	const struct stack *a = a_, *b = b_;

	return a->hash < b->hash ? -1 : a->hash > b->hash;
}

/* Those that are alike become one. */
static void sort(struct since *since)
{
	size_t count = 0;

	qsort(since->stacks, since->count, sizeof(*since->stacks), by_hash);
	for (size_t i = 0; i < since->count; i++) {
		struct stack *last = count ? &since->stacks[count - 1] : NULL;

		if (last && last->hash == since->stacks[i].hash) {
			last->bytes += since->stacks[i].bytes;
			last->blocks += since->stacks[i].blocks;
		} else {
			since->stacks[count++] = since->stacks[i];
		}
	}
	since->count = count;
}

static struct since *new_of(size_t count)
{
	struct since *since = malloc(sizeof(*since) + count * sizeof(struct stack));

	if (since)
		*since = (struct since){ .count = count };
	return since;
}

static uint64_t take(uint64_t *from, uint64_t most)
{
	uint64_t taken = *from < most ? *from : most;

	*from -= taken;
	return taken;
}

/* left: of what there was last, what is still to be subtracted. */
static void subtract(struct since *left, const uint64_t *hashes, struct dhat_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->point_count; i++) {
		const struct stack wanted = { .hash = hashes[i] };
		Dhat__ProgramPoint *point = snapshot->points[i];
		struct stack *stack =
			bsearch(&wanted, left->stacks, left->count, sizeof(*left->stacks), by_hash);

		if (!stack)
			continue;
		point->total_bytes -= take(&stack->bytes, point->total_bytes);
		point->total_blocks -= take(&stack->blocks, point->total_blocks);
	}
}

static struct since *copy_of(const struct since *since)
{
	struct since *copy = new_of(since ? since->count : 0);

	if (copy && since)
		memcpy(copy->stacks, since->stacks, since->count * sizeof(*since->stacks));
	return copy;
}

int since_subtract(const struct since *last, struct dhat_snapshot *snapshot, struct since **ret,
		   uint64_t *ret_unix_ns)
{
	_cleanup_free_ uint64_t *hashes = calloc(snapshot->point_count + 1, sizeof(*hashes));
	_cleanup_(since_free_ptr) struct since *next = new_of(snapshot->point_count);
	_cleanup_(since_free_ptr) struct since *left = copy_of(last);
	Dhat__Target *target = snapshot->head->target;
	uint64_t now_ns = snapshot->head->taken_unix_ns;

	if (!hashes || !next || !left)
		return -ENOMEM;
	for (size_t i = 0; i < snapshot->point_count; i++) {
		const Dhat__ProgramPoint *point = snapshot->points[i];

		hashes[i] = hash_of(snapshot, point);
		next->stacks[i] =
			(struct stack){ hashes[i], point->total_bytes, point->total_blocks };
	}
	next->unix_ns = now_ns;
	sort(next);
	subtract(left, hashes, snapshot);
	*ret_unix_ns = last ? last->unix_ns : target->observed_since_unix_ns;
	target->observed_ns = now_ns > *ret_unix_ns ? now_ns - *ret_unix_ns : 0;
	*ret = take_ptr(next);
	return 0;
}
