/* Copies of a target for those who show it. */
#include "private.h"

#include "daemon/account/verdict.h"
#include "identity.h"
#include "proto/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void target_copy_free(struct target_copy *copy)
{
	if (!copy)
		return;
	identity_deinit(&copy->identity);
	for (uint32_t i = 0; i < copy->object_count; i++) {
		free(copy->objects[i].path);
		if (copy->objects[i].fd >= 0)
			close(copy->objects[i].fd);
	}
	free(copy->objects);
	free(copy->points);
	moments_free(copy->moments);
	if (copy->census)
		block_list_free(copy->census->list);
	pins_free(copy->pins);
	census_free(copy->census);
	lifetimes_deinit(&copy->lifetimes);
	free(copy->frames);
	probed_deinit(&copy->probed);
	free(copy->counters);
	texts_free(copy->reasons);
	texts_free(copy->notes);
	if (copy->target)
		atomic_fetch_sub(&copy->target->copied_bytes, copy->bytes);
	target_unref(copy->target);
	free(copy);
}

DEFINE_CLEANUP_PTR(struct target_copy *, target_copy_free)

/* ---- verdict --------------------------------------------------------------------------------- */

static void fill_counters(struct target *target, uint64_t values[COUNTER_COUNT])
{
	memset(values, 0, COUNTER_COUNT * sizeof(*values));
	target_read_counters(target);
	memcpy(values, target->figures.counters, sizeof(target->figures.counters));
	values[COUNTER_MISSED_RUNS] = target->figures.missed_runs;
	values[COUNTER_LATE_ALLOCATORS] = target->probed.late_allocators;
	values[COUNTER_UNSEEN_FUNCTIONS] = target->probed.unseen_functions;
	values[COUNTER_TAKEN_PROBES] = places_taken(&target->places);
	values[COUNTER_COPIED_PROBES] = target->copies.found;
	values[COUNTER_ANCHOR_GAPS] = target->figures.anchor_gaps;
	values[COUNTER_FIRST_STACKS] = target->figures.first_stacks;
	values[COUNTER_FIRST_WHOLE] = target->figures.first_whole;
	counters_fill(values, &target->collector);
}

static uint64_t uncounted_bytes(const struct partials *partials)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < partials->count; i++)
		if (partials->list[i].bytes > bytes)
			bytes = partials->list[i].bytes; /* several may speak of the same memory */
	return bytes;
}

/* 0: it was a sample from the start on, or is none. */
static uint64_t sampled_since(const struct target_steps *steps)
{
	return steps->count && steps->list[0].kind == TARGET_STEP_SAMPLED ? steps->list[0].unix_ns
									  : 0;
}

/* With the findings' lock. */
static int judge(const struct target *target, const uint64_t values[COUNTER_COUNT],
		 struct target_copy *copy)
{
	_cleanup_free_ char *probed = probed_names(&copy->probed);
	struct verdict_facts facts = {
		.from_start = target->options.from_start,
		.sample_bytes = copy->sample.bytes,
		.sampled_since_unix_ns = sampled_since(&target->steps),
		.exact_ns = sampled_since(&target->steps)
				    ? target->steps.list[0].ns - target->life.since_ns
				    : 0,
		.unknown_bytes = copy->totals.unknown_free_bytes,
		.frees_keep_coming = target->doubt.frees.keep_coming || target->doubt.frees_exceed,
		.first_ns = target->figures.first_ns,
		.is_listing = copy->is_listing,
		.partials = &target->findings.partials,
		.probed = probed,
	};
	struct verdict *verdict = NULL;
	int error;

	if (!probed)
		return -ENOMEM;
	copy->counters = calloc(COUNTER_COUNT, sizeof(*copy->counters));
	if (!copy->counters)
		return -ENOMEM;
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		struct counter counter = counters_at(i, &facts);

		copy->counters[i] = (struct target_counter){
			.name = counter.name,
			.meaning = counter.meaning,
			.is_loss = counter.is_loss,
			.value = values[i],
		};
	}
	copy->counter_count = COUNTER_COUNT;
	error = verdict_new(values, &facts, &verdict);
	if (error)
		return error;
	copy->verdict = verdict->word;
	copy->uncounted_bytes = uncounted_bytes(&target->findings.partials);
	copy->reasons = take_ptr(verdict->reasons);
	copy->notes = take_ptr(verdict->notes);
	verdict_free(verdict);
	for (size_t i = 0; target->findings.notes && target->findings.notes[i] && !error; i++)
		error = texts_add(&copy->notes, target->findings.notes[i]);
	return error;
}

static int copy_verdict(struct target *target, struct target_copy *copy)
{
	uint64_t values[COUNTER_COUNT];
	int error;

	fill_counters(target, values);
	findings_lock(&target->findings);
	error = judge(target, values, copy);
	findings_unlock(&target->findings);
	return error;
}

/* ---- points ---------------------------------------------------------------------------------- */

/* What moments have of points without room is at that of lost stacks: moments.h, M2. */
static bool has_moments(const struct moments *moments, uint32_t id)
{
	struct moments_figures since[MOMENTS_MAX];

	if (id != STACK_POINT_LOST || !moments->count)
		return false;
	moments_of_point(moments, id, since);
	return since[0].blocks > 0;
}

static bool is_worth_showing(const struct target_copy *copy, const struct heap_point *points,
			     uint32_t id)
{
	const struct heap_point *point = &points[id];

	return point->total_blocks > 0 || point->live_blocks > 0 || point->peak_blocks > 0 ||
	       has_moments(copy->moments, id);
}

/* What of the points is copied: `seen` NULL: those worth showing; else what is new since, which is
 * everything if it is zeroed. With `lock`, as the copy of the point was taken. */
static bool is_wanted(const struct target *target, const struct target_copy *copy,
		      const struct target_view *seen, const struct heap_point *points, uint32_t i)
{
	if (!seen)
		return is_worth_showing(copy, points, i);
	return i >= seen->known_points || heap_point_changed(target->heap, i) > seen->generation;
}

static bool has_frames(const struct target_view *seen, uint32_t i)
{
	return !seen || i >= seen->known_points;
}

/* With `lock`. For one copy the budget has room kept: HEAP_POINT_WEIGHT, and the frames' weight in
 * stack.c. */
_Static_assert(HEAP_POINT_BYTES *(HEAP_POINT_WEIGHT - 1) >= sizeof(struct heap_point) +
								    sizeof(struct target_point) +
								    sizeof(struct stack_frame *),
	       "a copy of a point, and the one it is made of");
static int claim_copy(struct target *target, struct target_copy *copy, uint64_t points,
		      uint64_t frames)
{
	uint64_t bytes = points * (sizeof(struct heap_point) + sizeof(struct target_point) +
				   sizeof(struct stack_frame *)) +
			 frames * sizeof(struct stack_frame) + moments_bytes(copy->moments);

	uint64_t others = atomic_load(&target->copied_bytes);

	if (others && others + target->room_bytes > budget_left(&target->budget))
		return -EBUSY; /* so much goes beyond the one that has room kept */
	copy->target = target_ref(target);
	copy->bytes = bytes;
	atomic_fetch_add(&target->copied_bytes, bytes);
	return 0;
}

/* sources: where the frames of each point are. They neither move nor change while the target is
 * there, and the copy holds it: so the larger part of a copy is made without the lock. */
static int copy_points(struct target *target, const struct target_view *seen,
		       struct target_copy *copy, const struct stack_frame ***ret_sources)
{
	_cleanup_free_ const struct stack_frame **sources = NULL;
	_cleanup_free_ struct heap_point *points = NULL;
	uint32_t count = 0, frames = 0;
	struct stack_view view;
	int error = moments_copy(heap_moments(target->heap), !seen || copy->view.with_marks,
				 &copy->moments);

	if (error == 0)
		error = heap_copy(target->heap, &copy->totals, &points, &count);
	if (error)
		return error;
	collector_hold_back(&target->collector, &copy->totals);
	if (count > stacks_count(target->stacks))
		count = stacks_count(target->stacks);
	for (uint32_t i = 0; i < count; i++) {
		if (!is_wanted(target, copy, seen, points, i))
			continue;
		stacks_view(target->stacks, i, &view);
		frames += has_frames(seen, i) ? view.frame_count : 0;
		copy->point_count++;
	}
	error = claim_copy(target, copy, count, frames);
	if (error)
		return error;
	copy->points = calloc(copy->point_count + 1, sizeof(*copy->points));
	sources = calloc(copy->point_count + 1, sizeof(*sources));
	if (!copy->points || !sources)
		return -ENOMEM;
	copy->point_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct target_point *point = &copy->points[copy->point_count];

		if (!is_wanted(target, copy, seen, points, i))
			continue;
		stacks_view(target->stacks, i, &view);
		if (!has_frames(seen, i))
			view.frame_count = view.left_out = 0;
		*point = (struct target_point){
			.heap = points[i],
			.id = i,
			.lifetimes_us = heap_point_lifetimes_us(&points[i], copy->end_ns),
			.mean_age_us = heap_point_mean_age_us(&points[i], copy->end_ns),
			.temporary_blocks = heap_point_temporary_blocks(target->heap, i),
			.threads = heap_point_threads(target->heap, i),
			.sampled = heap_point_sampled(target->heap, i),
			.first_frame = copy->frame_count,
			.frame_count = view.frame_count,
			.left_out = view.left_out,
			.stop = view.stop,
			.flags = view.flags,
			.site = view.site,
			.number = seen ? i + 1 : 0,
			.is_before = i == STACK_POINT_BEFORE,
			.is_lost = i == STACK_POINT_LOST,
		};
		heap_point_history(target->heap, i, &points[i], point->lows);
		sources[copy->point_count] = view.frames;
		copy->frame_count += view.frame_count;
		copy->point_count++;
	}
	if (seen)
		copy->view.known_points = count;
	*ret_sources = take_ptr(sources);
	return 0;
}

/* Without the lock. */
static int copy_frames(struct target_copy *copy, const struct stack_frame *const *sources)
{
	copy->frames = malloc((copy->frame_count + 1ul) * sizeof(*copy->frames));
	if (!copy->frames)
		return -ENOMEM;
	for (uint32_t i = 0; i < copy->point_count; i++) {
		const struct target_point *point = &copy->points[i];

		if (point->frame_count) /* a special point has no frames to point at */
			memcpy(copy->frames + point->first_frame, sources[i],
			       point->frame_count * sizeof(*copy->frames));
	}
	return 0;
}

/* One that was gone before anybody looked has no path; its number keeps it from being taken for
 * another. */
static char *path_of(const struct mapped_object *mapped)
{
	char *text = NULL;

	if (mapped->path || !mapped->inode)
		return strdup(mapped->path ?: "");
	if (asprintf(&text, "[unknown file, device %u:%u, inode %" PRIu64 "]", mapped->dev_major,
		     mapped->dev_minor, mapped->inode) < 0)
		return NULL;
	return text;
}

static int copy_objects(struct target *target, struct target_copy *copy)
{
	copy->objects = calloc(mappings_object_count(target->mappings) + 1, sizeof(*copy->objects));
	if (!copy->objects)
		return -ENOMEM;
	for (uint32_t i = 0; i < mappings_object_count(target->mappings); i++) {
		const struct mapped_object *mapped = mappings_object(target->mappings, i);
		struct target_object *object = &copy->objects[i];
		struct objects_file file;

		objects_file(&target->objects, i, &file);
		object->fd = file.fd;
		object->path = path_of(mapped);
		object->is_vdso = mapped->is_vdso;
		object->build_id_size = file.build_id_size;
		memcpy(object->build_id, file.build_id, sizeof(object->build_id));
		copy->object_count = i + 1;
		if (!object->path)
			return -ENOMEM;
	}
	return 0;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void copy_tables(struct target *target, struct target_copy *copy)
{
	struct objects_sum sum;

	objects_sum(&target->objects, &sum);
	copy->code_bytes = sum.code_bytes;
	copy->table_bytes = sum.table_bytes;
	copy->tables_ready = sum.tables_ready;
	copy->tables_pending = sum.tables_pending;
}

struct wanted {
	enum { COPY_STATUS, COPY_PROFILE, COPY_VIEW } extent;
	const struct target_view *seen; /* of a view */
	bool with_ages;			/* of a profile: older_ns for the census */
	bool with_pages;		/* as well */
	uint64_t older_ns;
};

/* What is new to a viewer; a generation that is no other's any more tells nothing. */
static int copy_view(struct target *target, const struct target_view *seen_,
		     struct target_copy *copy, const struct stack_frame ***ret_sources)
{
	static const struct target_view nothing;
	const struct target_view *seen = &nothing;
	int error;

	if (seen_->observed_since_unix_ns == target->life.since_unix_ns && seen_->generation &&
	    seen_->generation < UINT32_MAX)
		seen = seen_;
	copy->is_changes = seen == seen_;
	copy->seen_points = seen->known_points;
	copy->view.observed_since_unix_ns = target->life.since_unix_ns;
	copy->view.with_marks = seen_->with_marks;
	error = copy_points(target, seen, copy, ret_sources);
	copy->peak_number = heap_peak_number(target->heap);
	copy->view.generation = heap_next_generation(target->heap);
	return error;
}

static int copy_extent(struct target *target, const struct wanted *wanted, struct target_copy *copy,
		       const struct stack_frame ***ret_sources)
{
	int error = 0;

	if (wanted->extent == COPY_PROFILE)
		error = copy_points(target, NULL, copy, ret_sources);
	else if (wanted->extent == COPY_VIEW)
		error = copy_view(target, wanted->seen, copy, ret_sources);
	else
		error = moments_copy(heap_moments(target->heap), false, &copy->moments);
	if (error == 0 && copy->frame_count)
		error = copy_objects(target, copy);
	return error;
}

static int copy_locked(struct target *target, const struct wanted *wanted, struct target_copy *copy,
		       const struct stack_frame ***ret_sources)
{
	int error = identity_copy(&target->identity, &copy->identity);

	copy->state = target->life.state;
	memcpy(copy->state_detail, target->life.detail, sizeof(copy->state_detail));
	copy->from_start = target->options.from_start;
	copy->skips_before = target->options.skip_inventory && !copy->from_start;
	copy->sample = *heap_sample_of(target->heap);
	copy->steps = target->steps;
	copy->is_listing = target->is_taking_inventory;
	copy->follows_fork = target->options.follow_fork;
	copy->child_count = target->life.child_count;
	copy->observed_since_unix_ns = target->life.since_unix_ns;
	copy->observed_since_ns = target->life.since_ns;
	copy->end_ns = target->life.state == TARGET_ATTACHED ? clock_now_ns(CLOCK_MONOTONIC)
							     : target->life.end_ns;
	if (target->life.state == TARGET_ATTACHED) { /* what has ended does nothing more */
		copy->allocs_per_second = target->figures.allocs_per_second +
					  target->figures.unsampled_allocs_per_second;
		copy->frees_per_second = target->figures.frees_per_second +
					 target->figures.unsampled_frees_per_second;
		target_price(target, &copy->price);
		copy->cost_percent = target_cost_percent(target);
		copy->cpu_percent = target->figures.cpu_percent;
	}
	copy->ring_bytes = target->ring_bytes;
	target_memory(target, &copy->memory);
	if (target->tracer) {
		copy->ring_used_bytes = ring_used_bytes(tracer_ring(target->tracer));
		copy->links_are_pinned = tracer_is_pinned(target->tracer);
	}
	copy_tables(target, copy);
	heap_pass_time(target->heap, copy->end_ns, 0);
	heap_copy_history(target->heap, &copy->history);
	if (error == 0)
		error = probed_copy(&target->probed.shown, &copy->probed);
	heap_totals(target->heap, &copy->totals);
	collector_hold_back(&target->collector, &copy->totals);
	copy->names = target->collector.names;
	if (error == 0)
		error = copy_extent(target, wanted, copy, ret_sources);
	return error ? error : copy_verdict(target, copy);
}

static int copy_and_count(struct target *target, const struct wanted *wanted,
			  struct target_copy *copy, const struct stack_frame ***ret_sources)
{
	int error;

	pthread_mutex_lock(&target->census_lock);
	target_lock(target);
	error = copy_locked(target, wanted, copy, ret_sources);
	if (error == 0)
		error = target_begin_ages(target, copy, stacks_count(target->stacks),
					  wanted->with_pages);
	target_unlock(target);
	if (error == 0)
		error = target_count_ages(target, copy);
	pthread_mutex_unlock(&target->census_lock);
	return error;
}

static int fill(struct target *target, const struct wanted *wanted, struct target_copy *copy)
{
	_cleanup_free_ const struct stack_frame **sources = NULL;
	int error;

	target_drain_now(target);
	target_look_after_code(target);
	target_look_at_memory(target);
	if (wanted->with_ages) {
		error = copy_and_count(target, wanted, copy, &sources);
		if (error == 0)
			error = target_count_pages(target, copy);
	} else {
		target_lock(target);
		error = copy_locked(target, wanted, copy, &sources);
		target_unlock(target);
	}
	return error == 0 && wanted->extent != COPY_STATUS ? copy_frames(copy, sources) : error;
}

static int make_copy(struct target *target, const struct wanted *wanted, struct target_copy **ret,
		     struct dhat_error *err)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = calloc(1, sizeof(*copy));
	int error;

	if (!copy)
		return dhat_error_errno(err, ENOMEM, "cannot copy the profile");
	copy->older_ns = wanted->older_ns;
	error = fill(target, wanted, copy);
	if (error == -EBUSY)
		return dhat_error_set(err, EBUSY, DHAT_EXIT_FAILED,
				      "others are taking the profile of process %d just now, and "
				      "--max-memory leaves no room for another copy: try again",
				      (int)target->pid);
	if (error)
		return dhat_error_errno(err, -error, "cannot copy the profile of process %d",
					(int)target->pid);
	*ret = take_ptr(copy);
	return 0;
}

int target_copy(struct target *target, bool with_points, struct target_copy **ret,
		struct dhat_error *err)
{
	const struct wanted wanted = { .extent = with_points ? COPY_PROFILE : COPY_STATUS };

	return make_copy(target, &wanted, ret, err);
}

int target_copy_view(struct target *target, const struct target_view *seen,
		     struct target_copy **ret, struct dhat_error *err)
{
	const struct wanted wanted = { .extent = COPY_VIEW, .seen = seen };

	return make_copy(target, &wanted, ret, err);
}

int target_copy_with_ages(struct target *target, uint64_t older_ns, bool with_pages,
			  struct target_copy **ret, struct dhat_error *err)
{
	const struct wanted wanted = { .extent = COPY_PROFILE,
				       .with_ages = true,
				       .with_pages = with_pages,
				       .older_ns = older_ns };

	return make_copy(target, &wanted, ret, err);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

struct visit {
	void (*visit)(void *context, const struct block *block, bool is_before);
	void *context;
};

static void visit_block(void *context, const struct block *block)
{
	const struct visit *all = context;

	all->visit(all->context, block, block->point == STACK_POINT_BEFORE);
}

void target_visit_blocks(struct target *target,
			 void (*visit)(void *context, const struct block *block, bool is_before),
			 void *context)
{
	struct visit all = { visit, context };

	target_lock(target);
	heap_visit_blocks(target->heap, visit_block, &all);
	target_unlock(target);
}

#define WALK_LEAVES 16 /* some 11,000 blocks: half a millisecond */

int target_walk_blocks(struct target *target,
		       void (*visit)(void *context, const struct block *block),
		       int (*rest)(void *context), void *context)
{
	uint64_t place = 0;
	int r = 0;

	target_drain_now(target);
	do {
		target_lock(target);
		place = heap_visit_blocks_from(target->heap, place, WALK_LEAVES, visit, context);
		target_unlock(target);
		r = rest ? rest(context) : 0;
	} while (place && r == 0);
	return r;
}

bool target_claim_room(struct target *target, uint64_t bytes, uint64_t *ret_left)
{
	uint64_t left;
	bool has_room;

	target_lock(target);
	left = target_room_left(target);
	has_room = bytes <= left;
	if (has_room)
		target->room_bytes += bytes;
	target_unlock(target);
	if (ret_left)
		*ret_left = left;
	return has_room;
}

void target_return_room(struct target *target, uint64_t bytes)
{
	target_lock(target);
	target->room_bytes -= bytes;
	target_unlock(target);
}
