/* A target's copy as a stream of parts: every figure, frames shared and numbered, names or reasons.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/object/elf/object.h"
#include "daemon/serve/snapshot.h"
#include "daemon/worker/worker_main.h"
#include "proto/base/cleanup.h"
#include "proto/profile/estimate.h"
#include "proto/profile/snapshot.h"
#include "tests/unit/workers.h"

DEFINE_CLEANUP_PTR(struct worker *, worker_free)
DEFINE_CLEANUP_PTR(struct symbolizer *, symbolizer_free)
DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct object *, object_free)

/* Places to be named. */
__attribute__((noinline, used)) static int snapshot_test_one(int n)
{
	return n * 3;
}
__attribute__((noinline, used)) static int snapshot_test_two(int n)
{
	return n * 5;
}

struct world {
	struct worker *worker;
	struct symbolizer *symbolizer;
	int fd;
	uint64_t offset_one, offset_two;
};

static int set_up(void **state)
{
	static const char *const names[] = { "snapshot_test_one", "snapshot_test_two", NULL };
	_cleanup_(object_free_ptr) struct object *object = NULL;
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(worker_new(NULL, &world->worker, NULL), 0);
	assert_int_equal(symbolizer_new(world->worker, NULL, &world->symbolizer, NULL), 0);
	assert_int_equal(object_describe(world->fd, names, NULL, &object, NULL), 0);
	for (size_t i = 0; i < object->symbol_count; i++)
		if (!strcmp(object->symbols[i].name, names[0]))
			world->offset_one = object->symbols[i].file_offset;
		else
			world->offset_two = object->symbols[i].file_offset;
	assert_true(world->offset_one && world->offset_two);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	symbolizer_free(world->symbolizer);
	worker_free(world->worker);
	close(world->fd);
	free(world);
	return 0;
}

/* ---- a copy made by hand ---- */

#define BIAS 0x7f0000000000ull

struct small_copy {
	struct target_copy copy;
	struct target_point points[4];
	struct stack_frame frames[8];
	struct target_object objects[3];
	struct probe probes[1];
	struct target_counter counters[2];
	struct probed_allocator allocators[1];
	char *reasons[2], *notes[2];
};

static void make_copy(const struct world *world, struct small_copy *small)
{
	struct target_copy *copy = &small->copy;
	/* a return address right after the function's first byte; an exact place; one mapped twice;
	 * JIT code; an object that could not be opened */
	const struct stack_frame frames[] = {
		{ BIAS + world->offset_one + 1, world->offset_one + 1, 0, false },
		{ BIAS + world->offset_two, world->offset_two, 0, true },
		{ BIAS + (1 << 30) + world->offset_one + 1, world->offset_one + 1, 0, false },
		{ 0x1234, 0, MAPPINGS_NO_OBJECT, false },
		{ 0x5678, 0x678, 1, false },
		/* not a place that was returned to: the same offset, another meaning */
		{ BIAS + world->offset_one + 1, world->offset_one + 1, 0, true },
	};

	memset(small, 0, sizeof(*small));
	memcpy(small->frames, frames, sizeof(frames));
	copy->frames = small->frames;
	copy->frame_count = ARRAY_SIZE(frames);
	small->objects[0] = (struct target_object){ .path = "/srv/one", .fd = world->fd };
	small->objects[1] = (struct target_object){ .path = "/srv/gone", .fd = -1 };
	copy->objects = small->objects;
	copy->object_count = 2;
	small->points[0] = (struct target_point){
		.heap = { .total_bytes = 100,
			  .total_blocks = 10,
			  .max_bytes = 90,
			  .max_blocks = 9,
			  .peak_bytes = 80,
			  .peak_blocks = 8,
			  .live_bytes = 70,
			  .live_blocks = 7,
			  .first_ns = 1100,
			  .last_ns = 1900,
			  .longest_freed = history_brief(1 << 20) },
		.lows = { 40, 70, 50 },
		.lifetimes_us = 555,
		.mean_age_us = 66,
		.first_frame = 0,
		.frame_count = 2,
	};
	small->points[1] = (struct target_point){ .heap.total_bytes = 1,
						  .first_frame = 2,
						  .frame_count = 4,
						  .stop = DHAT_STOP_JIT,
						  .flags = DHAT_STACK_USED_FP | DHAT_STACK_ANON };
	small->points[2] = (struct target_point){ .is_lost = true };
	copy->points = small->points;
	copy->point_count = 3;
	copy->identity = (struct target_identity){ .pid = getpid(),
						   .ns_pids = { getpid(), 7 },
						   .ns_pid_count = 2,
						   .uid = 42,
						   .command = "one two",
						   .executable = "/srv/one" };
	copy->state = TARGET_KILLED;
	snprintf(copy->state_detail, sizeof(copy->state_detail), "signal 9 (SIGKILL)");
	copy->observed_since_ns = 1000;
	copy->observed_since_unix_ns = 5;
	copy->end_ns = 3000;
	copy->totals = (struct heap_totals){ .total_bytes = 101,
					     .total_blocks = 11,
					     .live_bytes = 71,
					     .live_blocks = 8,
					     .peak_bytes = 99,
					     .peak_blocks = 9,
					     .peak_time_ns = 1500,
					     .unknown_frees = 3,
					     .unknown_free_bytes = 33 };
	copy->history =
		(struct heap_history){ .start_ns = 1500,
				       .slot_ns = 800,
				       .slot_count = 2,
				       .point_slot_ns = 600,
				       .point_slot_count = 3,
				       .slots = { { 1, 2, 3, 4, 5, 6 }, { 7, 8, 9, 10, 11, 12 } } };
	small->probes[0] = (struct probe){ .function = "malloc",
					   .allocator = "glibc",
					   .object_path = "/lib/libc.so.6",
					   .link = "multi",
					   .returns_by = "return probe",
					   .instruction = "push rbx",
					   .role = DHAT_ROLE_MALLOC,
					   .is_emulated = true,
					   .function_vaddr = 1,
					   .site_vaddr = 2,
					   .file_offset = 3 };
	copy->probed.probes = small->probes;
	copy->probed.probe_count = 1;
	small->counters[0] = (struct target_counter){ "allocs", "allocations seen", 11, false };
	small->counters[1] = (struct target_counter){ "drops", "lost", 2, true };
	copy->counters = small->counters;
	copy->counter_count = 2;
	small->reasons[0] = "2 records were lost";
	small->notes[0] = "a hazard";
	small->allocators[0] =
		(struct probed_allocator){ .name = "glibc", .path = "/lib/libc.so.6" };
	copy->verdict = DHAT_INEXACT;
	copy->uncounted_bytes = 4567;
	copy->reasons = small->reasons;
	copy->notes = small->notes;
	copy->probed.allocators = small->allocators;
	copy->probed.allocator_count = 1;
}

/* ---- the receiver: packs and unpacks each part, as a socket would ---- */

struct receiver {
	struct dhat_snapshot *snapshot;
	int parts_left; /* < 0: any number */
	size_t largest, parts;
};

static int receive(void *context, const Dhat__SnapshotPart *part)
{
	struct receiver *receiver = context;
	size_t size = dhat__snapshot_part__get_packed_size(part);
	_cleanup_free_ uint8_t *bytes = malloc(size);
	Dhat__SnapshotPart *unpacked;
	struct dhat_error err = { 0 };

	if (!receiver->parts_left)
		return -EPIPE;
	receiver->parts_left--;
	receiver->parts++;
	if (size > receiver->largest)
		receiver->largest = size;
	assert_int_equal(dhat__snapshot_part__pack(part, bytes), size);
	unpacked = dhat__snapshot_part__unpack(NULL, size, bytes);
	assert_non_null(unpacked);
	if (dhat_snapshot_add(receiver->snapshot, unpacked, &err))
		fail_msg("%s", err.message);
	return 0;
}

static struct dhat_snapshot *write_copy(const struct target_copy *copy,
					struct symbolizer *symbolizer, bool without_names,
					struct receiver *receiver)
{
	struct dhat_error err = { 0 };

	receiver->parts_left = -1;
	assert_int_equal(dhat_snapshot_new(&receiver->snapshot), 0);
	if (snapshot_write(copy, NULL, symbolizer, without_names, receive, receiver, &err))
		fail_msg("%s", err.message);
	if (dhat_snapshot_finish(receiver->snapshot, &err))
		fail_msg("%s", err.message);
	return receiver->snapshot;
}

static const char *function_of(const Dhat__Frame *frame)
{
	assert_true(frame->n_locations > 0);
	return frame->locations[frame->n_locations - 1]->function;
}

static const Dhat__Frame *frame_of(const struct dhat_snapshot *snapshot, size_t point, size_t i)
{
	assert_true(i < snapshot->points[point]->n_frames);
	return snapshot->frames[snapshot->points[point]->frames[i] - 1];
}

/* ---- tests ---- */

static void test_head_and_end(void **state)
{
	struct world *world = *state;
	struct receiver receiver = { 0 };
	struct small_copy small;
	const Dhat__SnapshotHead *head;
	const Dhat__SnapshotEnd *end;

	make_copy(world, &small);
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		write_copy(&small.copy, world->symbolizer, false, &receiver);
	head = snapshot->head;
	assert_int_equal(head->format_version, DHAT_SNAPSHOT_VERSION);
	assert_null(head->view); /* nobody looks again and again */
	assert_string_equal(head->tool_version, DHAT_VERSION);
	assert_int_equal(head->sample_rate, 1);
	assert_true(head->taken_unix_ns > 1700000000000000000ull);
	assert_true(*head->kernel && *head->host);
	assert_int_equal(head->target->pid, getpid());
	assert_int_equal(head->target->n_namespace_pids, 2);
	assert_int_equal(head->target->namespace_pids[1], 7);
	assert_int_equal(head->target->uid, 42);
	assert_string_equal(head->target->command, "one two");
	assert_string_equal(head->target->executable, "/srv/one");
	assert_string_equal(head->target->state, "killed");
	assert_string_equal(head->target->state_detail, "signal 9 (SIGKILL)");
	assert_int_equal(head->target->observed_since_unix_ns, 5);
	assert_int_equal(head->target->observed_ns, 2000);
	assert_string_equal(head->target->allocators[0], "glibc (/lib/libc.so.6)");
	end = snapshot->end;
	assert_int_equal(end->totals->total_bytes, 101);
	assert_int_equal(end->totals->total_blocks, 11);
	assert_int_equal(end->totals->peak_bytes, 99);
	assert_int_equal(end->totals->peak_blocks, 9);
	assert_int_equal(end->totals->peak_ns, 500);
	assert_int_equal(end->totals->live_bytes, 71);
	assert_int_equal(end->totals->live_blocks, 8);
	assert_int_equal(end->totals->end_ns, 2000);
	assert_int_equal(end->totals->freed_before_blocks, 3);
	assert_int_equal(end->totals->freed_before_bytes, 33);
	assert_int_equal(end->totals->stack_count, 3);
	assert_false(end->verdict->exact);
	assert_string_equal(end->verdict->word, "inexact");
	assert_int_equal(end->verdict->uncounted_bytes, 4567);
	assert_int_equal(end->verdict->n_reasons, 1);
	assert_string_equal(end->verdict->reasons[0], "2 records were lost");
	assert_int_equal(end->n_counters, 2);
	assert_string_equal(end->counters[1]->name, "drops");
	assert_int_equal(end->counters[1]->value, 2);
	assert_true(end->counters[1]->is_loss);
	assert_int_equal(end->timeline->start_ns, 500);
	assert_int_equal(end->timeline->slot_ns, 800);
	assert_int_equal(end->timeline->n_rss_bytes, 2);
	assert_int_equal(end->timeline->live_bytes[0], 1);
	assert_int_equal(end->timeline->live_blocks[0], 2);
	assert_int_equal(end->timeline->most_bytes[1], 9);
	assert_int_equal(end->timeline->allocations[1], 10);
	assert_int_equal(end->timeline->frees[1], 11);
	assert_int_equal(end->timeline->rss_bytes[1], 12);
	assert_int_equal(end->history->start_ns, 500);
	assert_int_equal(end->history->slot_ns, 600);
	assert_int_equal(end->history->count, 3);
	assert_int_equal(end->n_probes, 1);
	assert_string_equal(end->probes[0]->role, "malloc");
	assert_string_equal(end->probes[0]->instruction, "push rbx");
	assert_string_equal(end->notes[0], "a hazard");
	/* the object that could not be opened */
	assert_int_equal(end->n_notes, 3);
	assert_string_equal(end->notes[1],
			    "1 frames of /srv/gone have no names: its file could not be opened");
	assert_string_equal(end->notes[2],
			    "1 place in code made at run time has no name: its maker wrote no "
			    "/tmp/perf-7.map (node --perf-basic-prof and jcmd PID "
			    "Compiler.perfmap do)");
}

static void test_marks(void **state)
{
	struct world *world = *state;
	struct receiver receiver = { 0 };
	struct moments moments = { 0 };
	struct small_copy small;
	const Dhat__SnapshotHead *head;

	make_copy(world, &small);
	assert_int_equal(moments_add(&moments, "a", 1100), 0);
	assert_int_equal(moments_add(&moments, "b", 1200), 0);
	moments_count(&moments, 7, 1150, 30, 1);
	moments_count(&moments, 7, 1250, 12, 2);
	moments_count(&moments, 8, 1150, 100, 1);
	assert_int_equal(moments_copy(&moments, true, &small.copy.moments), 0);
	moments_deinit(&moments);
	small.points[0].id = 7;
	small.points[1].id = 8;
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		write_copy(&small.copy, world->symbolizer, true, &receiver);
	head = snapshot->head;
	assert_int_equal(head->n_marks, 2);
	assert_string_equal(head->marks[0]->name, "a");
	assert_int_equal(head->marks[1]->ns, 200);
	assert_int_equal(head->marks[0]->live_bytes, 142);
	assert_int_equal(head->marks[1]->live_blocks, 2);
	assert_int_equal(snapshot->points[0]->n_since_bytes, 2);
	assert_int_equal(snapshot->points[0]->since_bytes[0], 42);
	assert_int_equal(snapshot->points[0]->since_blocks[0], 3);
	assert_int_equal(snapshot->points[0]->since_bytes[1], 12);
	assert_int_equal(snapshot->points[1]->n_since_bytes, 1); /* none behind */
	assert_int_equal(snapshot->points[1]->since_bytes[0], 100);
	assert_int_equal(snapshot->points[2]->n_since_bytes, 0);
	moments_free(small.copy.moments);
}

static void test_ages(void **state)
{
	struct world *world = *state;
	struct receiver receiver = { 0 };
	struct moments moments = { 0 };
	struct small_copy small;
	const Dhat__ProgramPoint *point;

	make_copy(world, &small);
	small.points[0].id = 7;
	small.copy.older_ns = 500;
	assert_int_equal(census_new(500, &small.copy.census), 0);
	small.copy.census->time_ns = 3000;
	census_count(small.copy.census,
		     &(struct block){ .size_bytes = 33, .birth_ns = 2900, .point = 7 });
	census_count(small.copy.census,
		     &(struct block){ .size_bytes = 5, .birth_ns = 2500, .point = 7 });
	lifetimes_count(&small.copy.lifetimes, 7, 1000000000, 1);
	small.copy.lifetimes.since_ns = 1100;
	assert_int_equal(moments_add(&moments, "a", 1100), 0);
	assert_int_equal(moments_copy(&moments, false, &small.copy.moments), 0);
	moments_deinit(&moments);
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		write_copy(&small.copy, world->symbolizer, true, &receiver);
	assert_true(snapshot->head->has_ages);
	assert_int_equal(snapshot->head->older_ns, 500);
	assert_int_equal(snapshot->head->lifetimes_since_ns, 100);
	point = snapshot->points[0];
	assert_int_equal(point->n_live_ages, 1);
	assert_int_equal(point->live_ages[0], 2);
	assert_int_equal(point->n_live_sizes, dhat_size_bucket(33) + 1);
	assert_int_equal(point->live_sizes[dhat_size_bucket(5)], 1);
	assert_int_equal(point->n_dead_ages, dhat_age_bucket(1000000000) + 1);
	assert_int_equal(point->dead_ages[point->n_dead_ages - 1], 1);
	assert_int_equal(point->older_bytes, 5);
	assert_int_equal(point->older_blocks, 1);
	assert_int_equal(snapshot->points[1]->n_live_ages, 0);
	moments_free(small.copy.moments);
	small.copy.moments = NULL;
	/* without marks, from the start on: a time that is not 0 */
	small.copy.lifetimes.since_ns = small.copy.observed_since_ns;
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *whole =
		write_copy(&small.copy, world->symbolizer, true, &receiver);
	assert_int_equal(whole->head->lifetimes_since_ns, 1);
	assert_int_equal(whole->points[0]->n_dead_ages, dhat_age_bucket(1000000000) + 1);
	census_free(small.copy.census);
	lifetimes_deinit(&small.copy.lifetimes);
}

static void test_points_and_frames(void **state)
{
	struct world *world = *state;
	struct receiver receiver = { 0 };
	struct small_copy small;
	const Dhat__ProgramPoint *point;
	const Dhat__Frame *frame;

	make_copy(world, &small);
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		write_copy(&small.copy, world->symbolizer, false, &receiver);
	assert_int_equal(snapshot->point_count, 3);
	point = snapshot->points[0];
	assert_int_equal(point->total_bytes, 100);
	assert_int_equal(point->total_blocks, 10);
	assert_int_equal(point->max_bytes, 90);
	assert_int_equal(point->max_blocks, 9);
	assert_int_equal(point->peak_bytes, 80);
	assert_int_equal(point->peak_blocks, 8);
	assert_int_equal(point->live_bytes, 70);
	assert_int_equal(point->live_blocks, 7);
	assert_int_equal(point->lifetimes_us, 555);
	assert_int_equal(point->first_ns, 100);
	assert_int_equal(point->last_ns, 900);
	/* the first, and by what each other differs */
	assert_int_equal(point->n_low_bytes, 3);
	assert_int_equal(point->low_bytes[0], 40);
	assert_int_equal(point->low_bytes[1], 30);
	assert_int_equal(point->low_bytes[2], -20);
	assert_int_equal(snapshot->points[1]->n_low_bytes, 0);
	assert_int_equal(point->longest_freed_us, (1 << 20) / 1000);
	assert_int_equal(point->mean_age_us, 66);
	assert_string_equal(point->stop, "complete");
	assert_string_equal(point->kind, "");
	assert_false(point->used_frame_pointers);
	assert_string_equal(snapshot->points[1]->stop, "JIT");
	assert_string_equal(snapshot->points[1]->kind, "mmap");
	assert_true(snapshot->points[1]->used_frame_pointers);
	assert_string_equal(snapshot->points[2]->label, "[stack lost]");
	assert_int_equal(snapshot->points[2]->n_frames, 0);

	assert_int_equal(snapshot->frame_count, 5);
	frame = frame_of(snapshot, 0, 0);
	assert_string_equal(function_of(frame), "snapshot_test_one");
	assert_string_equal(frame->object, "/srv/one");
	assert_non_null(strstr(frame->locations[0]->file, "test_snapshot.c"));
	assert_true(frame->locations[0]->line > 10);
	assert_true(strlen(frame->build_id) >= 16);
	frame = frame_of(snapshot, 0, 1);
	assert_string_equal(function_of(frame), "snapshot_test_two");
	assert_true(frame->is_exact_pc);
	/* one place, however often it is mapped */
	assert_int_equal(snapshot->points[0]->frames[0], snapshot->points[1]->frames[0]);
	frame = frame_of(snapshot, 1, 1);
	assert_int_equal(frame->n_locations, 0);
	assert_string_equal(frame->object, "");
	assert_string_equal(frame->unnamed_reason, "in no file: code made at run time");
	assert_int_equal(frame->address, 0x1234);
	frame = frame_of(snapshot, 1, 2);
	assert_string_equal(frame->object, "/srv/gone");
	assert_string_equal(frame->unnamed_reason, "its file could not be opened");
	assert_int_equal(frame->object_vaddr, 0x678);
	/* an exact place is another one than a return address */
	assert_int_not_equal(snapshot->points[1]->frames[3], snapshot->points[0]->frames[0]);
}

static void test_without_names(void **state)
{
	struct world *world = *state;
	struct receiver receiver = { 0 };
	struct small_copy small;
	const Dhat__Frame *frame;

	make_copy(world, &small);
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		write_copy(&small.copy, world->symbolizer, true, &receiver);
	frame = frame_of(snapshot, 0, 1);
	assert_int_equal(frame->n_locations, 0);
	assert_string_equal(frame->object, "/srv/one");
	assert_true(frame->object_vaddr >= world->offset_two);
	assert_true(strlen(frame->build_id) >= 16);
}

/* Names are kept: a worker that cannot be had any more makes no difference to known places. */
static void test_names_are_kept(void **state)
{
	struct world *world = *state;
	struct receiver receiver = { 0 }, again = { 0 };
	struct small_copy small;
	int before[2], after[2];
	siginfo_t info;

	make_copy(world, &small);
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *first =
		write_copy(&small.copy, world->symbolizer, false, &receiver);
	workers_pids(before);
	assert_int_equal(kill(before[0], SIGKILL), 0);
	assert_int_equal(waitid(P_PID, before[0], &info, WEXITED | WNOWAIT), 0);
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *second =
		write_copy(&small.copy, world->symbolizer, false, &again);
	assert_string_equal(function_of(frame_of(second, 0, 0)), "snapshot_test_one");
	workers_pids(after);
	assert_int_equal(after[0], 0); /* nobody asked for another */
}

/* A snapshot in the middle of which the worker dies is whole, with reasons instead of names. */
static void test_worker_dies(void **state)
{
	struct world *world = *state;
	_cleanup_(worker_free_ptr) struct worker *worker = NULL;
	_cleanup_(symbolizer_free_ptr) struct symbolizer *symbolizer = NULL;
	struct worker_options options = { .name_seconds = 2 };
	struct receiver receiver = { 0 }, again = { 0 };
	struct name_query query = { .is_exact_pc = true };
	struct names *names = NULL;
	struct small_copy small;
	int pids[2];

	workers_pids(pids);
	assert_int_equal(pids[0], 0); /* no other that could be taken for this one's */
	assert_int_equal(worker_new(&options, &worker, NULL), 0);
	assert_int_equal(symbolizer_new(worker, NULL, &symbolizer, NULL), 0);
	query.file_offset = world->offset_one;
	assert_int_equal(worker_name(worker, world->fd, &query, 1, true, NULL, &names, NULL), 0);
	names_free(names);
	/* stopped, so that the request meets a worker that does not answer */
	workers_pids(pids);
	assert_int_equal(kill(pids[0], SIGSTOP), 0);
	make_copy(world, &small);
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		write_copy(&small.copy, symbolizer, false, &receiver);
	assert_int_equal(snapshot->point_count, 3);
	assert_int_equal(snapshot->points[0]->total_bytes, 100);
	assert_int_equal(frame_of(snapshot, 0, 0)->n_locations, 0);
	assert_string_equal(frame_of(snapshot, 0, 0)->unnamed_reason,
			    "reading it took the ELF worker longer than 2 s");
	assert_int_equal(snapshot->end->n_notes, 4);
	/* the file is held to blame; a new one of the same bytes is not */
	small.objects[0].fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_true(small.objects[0].fd >= 0);
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *second =
		write_copy(&small.copy, symbolizer, false, &again);
	assert_non_null(strstr(frame_of(second, 0, 0)->unnamed_reason, "not tried again"));
	close(small.objects[0].fd);
}

static void test_receiver_stops(void **state)
{
	struct world *world = *state;
	struct receiver receiver = { .parts_left = 2 };
	struct dhat_error err = { 0 };
	struct small_copy small;

	make_copy(world, &small);
	assert_int_equal(dhat_snapshot_new(&receiver.snapshot), 0);
	assert_int_equal(snapshot_write(&small.copy, NULL, world->symbolizer, false, receive,
					&receiver, &err),
			 -EPIPE);
	assert_true(strlen(err.message) > 0);
	dhat_snapshot_free(receiver.snapshot);
}

/* E2 of estimate.h: what was recorded of a stack is so large that it always is; of others nobody
 * knows. Mappings are all recorded. */
static void test_evidence(void **state)
{
	struct world *world = *state;
	struct receiver receiver = { 0 };
	struct small_copy small;
	struct dhat_evidence heap = { 0 }, mapped = { 0 }, all = { 0 };

	make_copy(world, &small);
	small.copy.sample = sample_of(1024);
	small.points[0].sampled = small.points[1].sampled =
		(struct heap_sampled){ .total_seen = 90000, .live_seen = 90000 };
	small.copy.totals.sampled = small.points[0].sampled;
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		write_copy(&small.copy, world->symbolizer, false, &receiver);
	dhat_evidence_add_point(&heap, snapshot->head, snapshot->points[0]);
	dhat_evidence_add_point(&mapped, snapshot->head, snapshot->points[1]);
	dhat_evidence_of_totals(1024, snapshot->end->totals, &all);
	assert_false(dhat_evidence_is_certain(&heap));
	assert_true(dhat_evidence_is_certain(&mapped));
	assert_false(dhat_evidence_is_certain(&all));
	assert_int_equal(dhat_interval_of(1024, &heap, DHAT_ESTIMATED_LIVE, 90000).low, 90000);
	assert_true(dhat_interval_of(1024, &heap, DHAT_ESTIMATED_LIVE, 90000).high > 92000);
}

static void test_empty(void **state)
{
	struct world *world = *state;
	struct receiver receiver = { 0 };
	struct target_copy copy = { .verdict = DHAT_EXACT };

	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		write_copy(&copy, world->symbolizer, false, &receiver);
	assert_int_equal(snapshot->point_count, 0);
	assert_int_equal(snapshot->frame_count, 0);
	assert_true(snapshot->end->verdict->exact);
	assert_string_equal(snapshot->end->verdict->word, "exact");
}

/* A hundred thousand points stream in parts that fit a frame of the protocol. */
static void test_large(void **state)
{
	enum { POINTS = 100000, FRAMES = 50000 };
	struct world *world = *state;
	_cleanup_free_ struct target_point *points = calloc(POINTS, sizeof(*points));
	_cleanup_free_ struct stack_frame *frames = calloc(FRAMES, sizeof(*frames));
	struct receiver receiver = { 0 };
	struct small_copy small;

	make_copy(world, &small);
	assert_true(points && frames);
	for (int i = 0; i < FRAMES; i++)
		frames[i] = (struct stack_frame){ BIAS + 4096 + i, 4096 + i, 0, false };
	for (int i = 0; i < POINTS; i++) {
		points[i].heap.total_bytes = i;
		points[i].first_frame = (i * 7919ul) % (FRAMES - DHAT_MAX_FRAMES);
		points[i].frame_count = i % (DHAT_MAX_FRAMES + 1);
	}
	small.copy.points = points;
	small.copy.point_count = POINTS;
	small.copy.frames = frames;
	small.copy.frame_count = FRAMES;
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		write_copy(&small.copy, world->symbolizer, false, &receiver);
	assert_int_equal(snapshot->point_count, POINTS);
	assert_int_equal(snapshot->frame_count, FRAMES);
	assert_true(receiver.parts > 100);
	assert_true(receiver.largest < 2 * SNAPSHOT_BATCH_BYTES);
	for (int i = 0; i < POINTS; i += 997) {
		assert_int_equal(snapshot->points[i]->total_bytes, i);
		assert_int_equal(snapshot->points[i]->n_frames, points[i].frame_count);
		for (uint32_t j = 0; j < points[i].frame_count; j++)
			assert_int_equal(frame_of(snapshot, i, j)->address,
					 frames[points[i].first_frame + j].addr);
	}
}

/* A viewer gets numbers, and of what it knows the figures alone. */
static void test_view(void **state)
{
	struct world *world = *state;
	struct receiver receiver = { 0 };
	struct small_copy small;

	make_copy(world, &small);
	for (uint32_t i = 0; i < small.copy.point_count; i++)
		small.points[i].number = 5 + i;
	small.points[0].frame_count = 0;
	small.copy.seen_points = 5;
	small.copy.is_changes = true;
	small.copy.view = (struct target_view){ .generation = 77,
						.known_points = 4 + small.copy.point_count };
	small.copy.peak_number = 12;
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		write_copy(&small.copy, world->symbolizer, false, &receiver);
	assert_true(snapshot->head->view->is_changes);
	assert_int_equal(snapshot->head->view->generation, 77);
	assert_int_equal(snapshot->head->view->known_points, 4 + small.copy.point_count);
	assert_int_equal(snapshot->head->view->peak_number, 12);
	assert_int_equal(snapshot->points[0]->number, 5);
	assert_int_equal(snapshot->points[0]->live_bytes, 70);
	assert_int_equal(snapshot->points[0]->n_frames, 0);
	assert_string_equal(snapshot->points[0]->stop, "");
	assert_int_equal(snapshot->points[1]->number, 6);
	assert_true(snapshot->points[1]->n_frames > 0 && *snapshot->points[1]->stop);
}

static void test_unsound_copy(void **state)
{
	struct world *world = *state;
	struct receiver receiver = { .parts_left = -1 };
	struct small_copy small;

	make_copy(world, &small);
	small.points[1].frame_count = 7;
	assert_int_equal(snapshot_write(&small.copy, NULL, world->symbolizer, false, receive,
					&receiver, NULL),
			 -EINVAL);
	small.points[1].frame_count = 4;
	small.frames[2].object = 99; /* no such object: as if it were in no file */
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		write_copy(&small.copy, world->symbolizer, false, &receiver);
	assert_string_equal(frame_of(snapshot, 1, 0)->object, "");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marks),	      cmocka_unit_test(test_ages),
		cmocka_unit_test(test_head_and_end),  cmocka_unit_test(test_points_and_frames),
		cmocka_unit_test(test_without_names), cmocka_unit_test(test_names_are_kept),
		cmocka_unit_test(test_worker_dies),   cmocka_unit_test(test_receiver_stops),
		cmocka_unit_test(test_evidence),      cmocka_unit_test(test_empty),
		cmocka_unit_test(test_large),	      cmocka_unit_test(test_unsound_copy),
		cmocka_unit_test(test_view),
	};

	if (argc > 1 && !strcmp(argv[1], WORKER_ARGUMENT))
		return worker_main(argc, argv);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
