#include "snapshot_merge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "estimate.h"
#include "held.h"
#include "history.h"
#include "mark.h"
#include "proto/base/cleanup.h"
#include "proto/base/program.h"
#include "proto/base/qualifiers.h"
#include "threads.h"
#include "verdict.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

bool dhat_snapshot_is_of(const struct dhat_snapshot *snapshot, const Dhat__Target *target)
{
	const Dhat__Target *own = snapshot->head->target;
	char a[DHAT_PROGRAM_CHARS], b[DHAT_PROGRAM_CHARS];

	struct dhat_script one = dhat_program_script(own->command, own->executable);
	struct dhat_script other = dhat_program_script(target->command, target->executable);

	if (!dhat_script_is_same(&one, &other))
		return false;
	if (*own->executable || *target->executable)
		return !strcmp(own->executable, target->executable);
	return !strcmp(dhat_program_name(own->command, "", a),
		       dhat_program_name(target->command, "", b));
}

/* Of the program's file, as its frames tell it; "": none does. */
static const char *build_id_of(const struct dhat_snapshot *snapshot)
{
	const char *executable = snapshot->head->target->executable;

	for (size_t i = 0; *executable && i < snapshot->frame_count; i++) {
		const Dhat__Frame *frame = snapshot->frames[i];

		if (*frame->build_id && !strcmp(frame->object, executable))
			return frame->build_id;
	}
	return "";
}

static bool is_same_container(const Dhat__Target *a, const Dhat__Target *b)
{
	return !strcmp(a->container ? a->container->id : "", b->container ? b->container->id : "");
}

bool dhat_snapshot_adds_up(const struct dhat_snapshot *a, const struct dhat_snapshot *b)
{
	const Dhat__Target *one = a->head->target, *other = b->head->target;
	const char *x = build_id_of(a), *y = build_id_of(b);

	if (!dhat_snapshot_is_of(a, other) || (*x && *y && strcmp(x, y) != 0))
		return false;
	/* the file says little, and so does /app/server.js: each image has one */
	return !dhat_program_script(one->command, one->executable).length ||
	       is_same_container(one, other);
}

/* Room for `more` pointers behind `count`; *array is realloc()'s. */
static int make_room(void *array_, size_t count, size_t more)
{
	void **array = *(void ***)array_;

	array = reallocarray(array, count + more + 1, sizeof(*array));
	if (!array)
		return -ENOMEM;
	*(void ***)array_ = array;
	return 0;
}

/* ---- texts --------------------------------------------------------------------------------- */

struct texts { /* a repeated field of a message */
	char ***list;
	size_t *count;
};

static int set_text(char **text, uint32_t pid)
{
	char *longer;

	if (asprintf(&longer, "process %" PRIu32 ": %s", pid, *text) < 0)
		return -ENOMEM;
	free(*text);
	*text = longer;
	return 0;
}

/* Of which process each is. */
static int sign_texts(struct texts texts, uint32_t pid)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < *texts.count; i++)
		r = set_text(&(*texts.list)[i], pid);
	return r;
}

static int move_texts(struct texts into, struct texts from)
{
	static const char more[] = "and more of that kind: see each process alone";
	int r = make_room(into.list, *into.count, *from.count + 1);

	for (size_t i = 0; r == 0 && i < *from.count; i++) {
		char *text = (*from.list)[i];

		if (*into.count > DHAT_MERGE_MAX_TEXTS)
			break;
		if (*into.count == DHAT_MERGE_MAX_TEXTS)
			text = strdup(more);
		else
			(*from.list)[i] = strdup(""); /* it is ours now */
		if (!text)
			return -ENOMEM;
		(*into.list)[(*into.count)++] = text;
	}
	return r;
}

static struct texts reasons_of(const struct dhat_snapshot *snapshot)
{
	Dhat__Verdict *verdict = snapshot->end->verdict;

	return (struct texts){ &verdict->reasons, &verdict->n_reasons };
}

static struct texts notes_of(const struct dhat_snapshot *snapshot)
{
	Dhat__SnapshotEnd *end = without_qualifiers(snapshot->end);

	return (struct texts){ &end->notes, &end->n_notes };
}

/* ---- figures ------------------------------------------------------------------------------- */

/* Times are since the observation began: which is earlier now. */
static void shift_times(struct dhat_snapshot *snapshot, uint64_t ns)
{
	Dhat__SnapshotHead *head = without_qualifiers(snapshot->head);

	for (size_t i = 0; i < snapshot->point_count; i++) {
		snapshot->points[i]->first_ns += ns;
		snapshot->points[i]->last_ns += ns;
	}
	for (size_t i = 0; i < head->n_marks; i++)
		head->marks[i]->ns += ns;
	if (head->lifetimes_since_ns > 1) /* 1: from the start on, of each */
		head->lifetimes_since_ns += ns;
	if (snapshot->end->history)
		snapshot->end->history->start_ns += ns;
	snapshot->end->totals->peak_ns += ns;
	snapshot->end->totals->end_ns += ns;
	if (snapshot->end->holds)
		snapshot->end->holds->taken_ns += ns;
}

static void align_times(struct dhat_snapshot *into, struct dhat_snapshot *from)
{
	Dhat__Target *a = into->head->target, *b = from->head->target;
	uint64_t end_a, end_b;

	if (a->observed_since_unix_ns > b->observed_since_unix_ns) {
		shift_times(into, a->observed_since_unix_ns - b->observed_since_unix_ns);
		a->observed_ns += a->observed_since_unix_ns - b->observed_since_unix_ns;
		a->observed_since_unix_ns = b->observed_since_unix_ns;
	} else {
		shift_times(from, b->observed_since_unix_ns - a->observed_since_unix_ns);
	}
	end_a = a->observed_since_unix_ns + a->observed_ns;
	end_b = b->observed_since_unix_ns + b->observed_ns;
	if (end_b > end_a)
		a->observed_ns += end_b - end_a;
	a->from_start &= b->from_start;
}

static void add_totals(Dhat__Totals *into, const Dhat__Totals *from)
{
	into->total_bytes += from->total_bytes;
	into->total_blocks += from->total_blocks;
	into->peak_bytes += from->peak_bytes;
	into->peak_blocks += from->peak_blocks;
	into->live_bytes += from->live_bytes;
	into->live_blocks += from->live_blocks;
	into->freed_before_blocks += from->freed_before_blocks;
	into->freed_before_bytes += from->freed_before_bytes;
	into->is_listing |= from->is_listing;
	into->stack_count += from->stack_count;
	if (into->end_ns < from->end_ns)
		into->end_ns = from->end_ns;
}

static void add_counters(const Dhat__SnapshotEnd *into, const Dhat__SnapshotEnd *from)
{
	for (size_t i = 0; i < from->n_counters; i++)
		for (size_t j = 0; j < into->n_counters; j++)
			if (!strcmp(into->counters[j]->name, from->counters[i]->name))
				into->counters[j]->value += from->counters[i]->value;
}

static int add_verdict(Dhat__Verdict *into, const Dhat__Verdict *from)
{
	enum dhat_verdict a = dhat_verdict_of(into), b = dhat_verdict_of(from);
	char *word = strdup(dhat_verdict_word(a > b ? a : b));

	if (!word)
		return -ENOMEM;
	if (into->word != protobuf_c_empty_string)
		free(into->word);
	into->word = word;
	into->exact &= from->exact;
	into->uncounted_bytes += from->uncounted_bytes;
	return 0;
}

/* ---- samples ------------------------------------------------------------------------------- */

/* What is exact, or of an older kind, says so of each point, beside those that are estimates. */
static int say_evidence(const struct dhat_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->point_count; i++) {
		Dhat__ProgramPoint *point = snapshot->points[i];
		struct dhat_evidence evidence = { 0 };

		if (point->sampled)
			continue;
		point->sampled = calloc(1, sizeof(*point->sampled));
		if (!point->sampled)
			return -ENOMEM;
		dhat__sampled__init(point->sampled);
		if (!snapshot->head->sample_bytes) {
			point->sampled->total_bytes = point->total_bytes;
			point->sampled->peak_bytes = point->peak_bytes;
			point->sampled->live_bytes = point->live_bytes;
			point->sampled->total_single = point->total_bytes;
			point->sampled->peak_single = point->peak_bytes;
			point->sampled->live_single = point->live_bytes;
			continue;
		}
		dhat_evidence_add_point(&evidence, snapshot->head, point);
		point->sampled->total_variance = evidence.variance[DHAT_ESTIMATED_TOTAL];
		point->sampled->peak_variance = evidence.variance[DHAT_ESTIMATED_PEAK];
		point->sampled->live_variance = evidence.variance[DHAT_ESTIMATED_LIVE];
	}
	return 0;
}

/* Evidence of the totals goes: it is that of the points. */
static void forget_sampled(Dhat__Totals *totals)
{
	if (totals->sampled)
		dhat__sampled__free_unpacked(totals->sampled, NULL);
	totals->sampled = NULL;
}

static int merge_samples(struct dhat_snapshot *into, struct dhat_snapshot *from)
{
	Dhat__SnapshotHead *head = without_qualifiers(into->head);
	uint64_t sample_bytes = dhat_sample_bytes_of_both(into, from);
	int r = 0;

	if (!sample_bytes)
		return 0;
	forget_sampled(into->end->totals);
	forget_sampled(from->end->totals);
	if (into->head->sample_bytes != from->head->sample_bytes)
		r = say_evidence(into);
	if (r == 0 && into->head->sample_bytes != from->head->sample_bytes)
		r = say_evidence(from);
	head->sample_bytes = sample_bytes;
	head->sample_rate = 0;
	/* they are of one of the two; the reasons, which have the process, tell of both */
	for (size_t i = 0; i < head->n_steps; i++)
		dhat__step__free_unpacked(head->steps[i], NULL);
	head->n_steps = 0;
	return r;
}

/* ---- marks --------------------------------------------------------------------------------- */

struct shared_marks { /* those that both have: their numbers in each */
	size_t into[DHAT_SNAPSHOT_MAX_MARKS], from[DHAT_SNAPSHOT_MAX_MARKS], count;
};

static void find_shared(const struct dhat_snapshot *into, const struct dhat_snapshot *from,
			struct shared_marks *ret)
{
	ret->count = 0;
	for (size_t i = 0; i < into->head->n_marks; i++) {
		size_t found = dhat_mark_find(from, into->head->marks[i]->name);

		if (!found)
			continue;
		ret->into[ret->count] = i;
		ret->from[ret->count++] = found - 1;
	}
}

/* Figures of these marks, in this order; the caller frees. */
static uint64_t *select_figures(const uint64_t *figures, size_t figure_count, const size_t *numbers,
				size_t count)
{
	uint64_t *selected = calloc(count + 1, sizeof(*selected));

	for (size_t i = 0; selected && i < count; i++)
		if (numbers[i] < figure_count)
			selected[i] = figures[numbers[i]];
	return selected;
}

static int select_marks(struct dhat_snapshot *snapshot, const size_t *numbers, size_t count)
{
	for (size_t i = 0; i < snapshot->point_count; i++) {
		Dhat__ProgramPoint *point = snapshot->points[i];
		uint64_t *bytes, *blocks;

		if (!point->n_since_bytes)
			continue;
		bytes = select_figures(point->since_bytes, point->n_since_bytes, numbers, count);
		blocks = select_figures(point->since_blocks, point->n_since_blocks, numbers, count);
		if (!bytes || !blocks) {
			free(bytes);
			free(blocks);
			return -ENOMEM;
		}
		free(point->since_bytes);
		free(point->since_blocks);
		point->since_bytes = bytes;
		point->since_blocks = blocks;
		point->n_since_bytes = point->n_since_blocks = count;
	}
	return 0;
}

/* Times are aligned already. What a mark says is so since the first of its times. */
static void add_marks(const struct dhat_snapshot *into, const struct dhat_snapshot *from,
		      const struct shared_marks *shared)
{
	Dhat__SnapshotHead *head = without_qualifiers(into->head);

	for (size_t i = 0; i < shared->count; i++) {
		const Dhat__Mark *other = from->head->marks[shared->from[i]];
		Dhat__Mark *mark = head->marks[shared->into[i]];

		if (other->ns < mark->ns)
			mark->ns = other->ns;
		mark->live_bytes += other->live_bytes;
		mark->live_blocks += other->live_blocks;
		head->marks[shared->into[i]] = head->marks[i];
		head->marks[i] = mark;
	}
	for (size_t i = shared->count; i < head->n_marks; i++)
		dhat__mark__free_unpacked(head->marks[i], NULL);
	head->n_marks = shared->count;
}

static int merge_marks(struct dhat_snapshot *into, struct dhat_snapshot *from)
{
	struct shared_marks shared;
	int r;

	find_shared(into, from, &shared);
	r = select_marks(into, shared.into, shared.count);
	if (r == 0)
		r = select_marks(from, shared.from, shared.count);
	if (r == 0)
		add_marks(into, from, &shared);
	return r;
}

/* What not all of them have is not told. */
static void merge_ages(Dhat__SnapshotHead *into, const Dhat__SnapshotHead *from)
{
	into->has_ages &= from->has_ages;
	if (into->older_ns != from->older_ns)
		into->older_ns = 0;
	if ((into->lifetimes_since_ns == 1) != (from->lifetimes_since_ns == 1))
		into->lifetimes_since_ns = 0; /* of one from the start on, of the other not */
	else if (from->lifetimes_since_ns < into->lifetimes_since_ns)
		into->lifetimes_since_ns = from->lifetimes_since_ns;
	if (into->temporary_ns != from->temporary_ns)
		into->temporary_ns = 0;
	if (*into->size_classes && strcmp(into->size_classes, from->size_classes) != 0)
		*into->size_classes = 0;
}

/* As of ages; of processes that share pages these count once for each. */
static void merge_pages(struct dhat_snapshot *into, const struct dhat_snapshot *from)
{
	Dhat__SnapshotHead *head = without_qualifiers(into->head);
	const Dhat__Pages *other = from->end->pages;
	Dhat__Pages *pages = into->end->pages;

	head->has_pages &= from->head->has_pages;
	if (!head->has_pages)
		return;
	pages->resident_bytes += other->resident_bytes;
	pages->swapped_bytes += other->swapped_bytes;
	pages->live_bytes += other->live_bytes;
	pages->beside_bytes += other->beside_bytes;
	pages->below_bytes += other->below_bytes;
	pages->above_bytes += other->above_bytes;
	pages->highest_blocks += other->highest_blocks;
	pages->highest_bytes += other->highest_bytes;
	pages->highest_gain_bytes += other->highest_gain_bytes;
	pages->knows_all_blocks &= other->knows_all_blocks;
	pages->is_glibc &= other->is_glibc;
}

/* ---- histories ----------------------------------------------------------------------------- */

static struct dhat_history_grid grid_of(const struct dhat_snapshot *snapshot)
{
	const Dhat__PointSlots *slots = snapshot->end->history;

	return (struct dhat_history_grid){ slots->start_ns, slots->slot_ns, slots->count };
}

static int fit_point(const struct dhat_snapshot *snapshot, Dhat__ProgramPoint *point,
		     const struct dhat_history_grid *to)
{
	const struct dhat_history_grid from = grid_of(snapshot);
	uint64_t before = 0, lows[DHAT_HISTORY_SLOTS] = { 0 }, fitted[DHAT_HISTORY_SLOTS];
	int64_t *low_bytes;

	if (!point->n_low_bytes)
		return 0;
	low_bytes = calloc(to->count, sizeof(*low_bytes));
	if (!low_bytes)
		return -ENOMEM;
	dhat_history_add(snapshot, point, lows);
	dhat_history_fit(&from, lows, to, fitted);
	for (uint32_t i = 0; i < to->count; i++) {
		low_bytes[i] = (int64_t)(fitted[i] - before);
		before = fitted[i];
	}
	free(point->low_bytes);
	point->low_bytes = low_bytes;
	point->n_low_bytes = to->count;
	return 0;
}

static int fit_history(struct dhat_snapshot *snapshot, const struct dhat_history_grid *to)
{
	Dhat__PointSlots *slots = snapshot->end->history;
	int r = 0;

	for (size_t i = 0; r == 0 && i < snapshot->point_count; i++)
		r = fit_point(snapshot, snapshot->points[i], to);
	slots->start_ns = to->start_ns;
	slots->slot_ns = to->slot_ns;
	slots->count = to->count;
	return r;
}

static void forget_timeline(struct dhat_snapshot *snapshot)
{
	Dhat__SnapshotEnd *end = without_qualifiers(snapshot->end);

	if (end->timeline)
		dhat__timeline__free_unpacked(end->timeline, NULL);
	end->timeline = NULL;
}

static void forget_history(struct dhat_snapshot *snapshot)
{
	if (snapshot->end->history)
		snapshot->end->history->count = 0;
}

/* Both in the slots of the one that has the wider ones; times are aligned. If one has no history,
 * neither has. */
static int align_histories(struct dhat_snapshot *into, struct dhat_snapshot *from)
{
	struct dhat_history_grid a, b;

	forget_timeline(into);
	if (!dhat_history_slots(into) || !dhat_history_slots(from)) {
		forget_history(into);
		return 0;
	}
	a = grid_of(into);
	b = grid_of(from);
	return a.slot_ns >= b.slot_ns ? fit_history(from, &a) : fit_history(into, &b);
}

/* ---- the whole ----------------------------------------------------------------------------- */

static int add_pid(struct dhat_snapshot *into, uint32_t pid)
{
	uint32_t *pids = reallocarray(into->pids, into->pid_count + 1, sizeof(*pids));

	if (!pids)
		return -ENOMEM;
	into->pids = pids;
	into->pids[into->pid_count++] = pid;
	return 0;
}

static void add_sum(Dhat__HoldsSum **into, Dhat__HoldsSum **from)
{
	if (!*into) {
		*into = take_ptr(*from);
	} else if (*from) {
		(*into)->bytes += (*from)->bytes;
		(*into)->blocks += (*from)->blocks;
	}
}

/* What all were looked at for; chains are of one process. Times are aligned already. */
static void merge_holds(const struct dhat_snapshot *into, const struct dhat_snapshot *from)
{
	Dhat__Holds *holds = into->end->holds, *other = from->end->holds;

	if (!holds || !other) {
		dhat_held_forget(into);
		dhat_held_forget(from);
		return;
	}
	dhat_held_forget_chains(into);
	dhat_held_forget_chains(from);
	add_sum(&holds->held, &other->held);
	add_sum(&holds->unknown, &other->unknown);
	add_sum(&holds->lost, &other->lost);
	add_sum(&holds->unseen, &other->unseen);
	if (other->taken_ns < holds->taken_ns)
		holds->taken_ns = other->taken_ns;
	if (!holds->n_refusals) {
		holds->refusals = take_ptr(other->refusals);
		holds->n_refusals = other->n_refusals;
		other->n_refusals = 0;
	}
}

/* The frames, points and messages of `from` become those of `into`. */
static int move_parts(struct dhat_snapshot *into, struct dhat_snapshot *from)
{
	if (make_room(&into->parts, into->part_count, from->part_count) ||
	    make_room(&into->frames, into->frame_count, from->frame_count) ||
	    make_room(&into->points, into->point_count, from->point_count))
		return -ENOMEM;
	for (size_t i = 0; i < from->point_count; i++) {
		Dhat__ProgramPoint *point = from->points[i];

		for (size_t j = 0; j < point->n_frames; j++)
			point->frames[j] += into->frame_count; /* keeps S2 */
		into->points[into->point_count++] = point;
	}
	for (size_t i = 0; i < from->frame_count; i++)
		into->frames[into->frame_count++] = from->frames[i];
	for (size_t i = 0; i < from->part_count; i++)
		into->parts[into->part_count++] = from->parts[i];
	into->part_room = into->part_count;
	into->frame_room = into->frame_count;
	into->point_room = into->point_count;
	from->part_count = 0;
	return 0;
}

static int merge(struct dhat_snapshot *into, struct dhat_snapshot *from)
{
	uint32_t pid = from->head->target->pid;
	int r = 0;

	if (!into->pid_count) {
		r = add_pid(into, into->head->target->pid);
		if (r == 0)
			r = sign_texts(reasons_of(into), into->pids[0]);
		if (r == 0)
			r = sign_texts(notes_of(into), into->pids[0]);
	}
	if (r == 0)
		r = add_pid(into, pid);
	if (r == 0)
		r = sign_texts(reasons_of(from), pid);
	if (r == 0)
		r = sign_texts(notes_of(from), pid);
	if (r == 0)
		r = move_texts(reasons_of(into), reasons_of(from));
	if (r == 0)
		r = move_texts(notes_of(into), notes_of(from));
	if (r == 0)
		r = add_verdict(into->end->verdict, from->end->verdict);
	if (r < 0)
		return r;
	if (!into->lacks)
		into->lacks = take_ptr(from->lacks);
	r = dhat_threads_merge(into, from);
	if (r == 0)
		r = merge_samples(into, from);
	if (r < 0)
		return r;
	align_times(into, from);
	merge_ages(without_qualifiers(into->head), from->head);
	merge_pages(into, from);
	merge_holds(into, from);
	r = align_histories(into, from);
	if (r == 0)
		r = merge_marks(into, from);
	if (r < 0)
		return r;
	add_totals(into->end->totals, from->end->totals);
	add_counters(into->end, from->end);
	return move_parts(into, from);
}

/* Two moments of one process: their sums would mean nothing. */
static bool is_in(const struct dhat_snapshot *into, const struct dhat_snapshot *from)
{
	uint32_t pid = from->head->target->pid;
	bool is_same = into->head->target->pid == pid;

	for (size_t i = 0; i < into->pid_count; i++)
		is_same |= into->pids[i] == pid;
	return is_same && !strcmp(into->head->host, from->head->host);
}

int dhat_snapshot_merge(struct dhat_snapshot *into, struct dhat_snapshot *from_,
			struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *from = from_;
	int r;

	if (is_in(into, from))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "two profiles of process %" PRIu32
				      ": they cannot be added up",
				      from->head->target->pid);
	/* keeps S3 */
	if (from->point_count > DHAT_SNAPSHOT_MAX_POINTS - into->point_count ||
	    from->frame_count > DHAT_SNAPSHOT_MAX_FRAMES - into->frame_count)
		return dhat_error_set(err, EFBIG, DHAT_EXIT_FAILED,
				      "the profiles are too large to be put together");
	r = merge(into, from);
	return r < 0 ? dhat_error_errno(err, -r, "cannot put the profiles together") : 0;
}

bool dhat_snapshot_is_same_watch(const struct dhat_snapshot *a, const struct dhat_snapshot *b)
{
	const Dhat__Target *one = a->head->target, *other = b->head->target;

	return one->pid == other->pid &&
	       one->observed_since_unix_ns == other->observed_since_unix_ns;
}
