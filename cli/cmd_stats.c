/* dhatctl stats: what is live, and from where. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "choice.h"
#include "client.h"
#include "command.h"
#include "filtering.h"
#include "input.h"
#include "listing.h"
#include "names_hint.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/texts.h"
#include "proto/base/units.h"
#include "proto/profile/snapshot_merge.h"
#include "rows.h"
#include "suspicion.h"
#include "view.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

struct stats {
	struct common common;
	uint32_t pid;
	char **paths; /* .dhat files instead of a daemon; NULL: none. Ends with NULL */
	bool is_all;  /* of all targets */
	struct rows_options rows;
	struct listing list;
	struct trim_options trim;
	struct dhat_filter filter;
	bool without_names;
};

enum { KEY_SORT = 0x100, KEY_NO_NAMES, KEY_ADDRESSES, KEY_ALL };

static const struct argp_option options[] = {
	{ "all", KEY_ALL, 0, 0,
	  "All attached processes; those of one program are put together, as several files are",
	  1 },
	{ "sort", KEY_SORT, "KEY", 0,
	  "Sort by bytes: live (now), total (ever), peak (at t-gmax), max (each one's own "
	  "maximum) or growth (a minute, of what is never freed)",
	  2 },
	{ "addresses", KEY_ADDRESSES, 0, 0, "Show the frames' addresses", 2 },
	{ "no-names", KEY_NO_NAMES, 0, 0, "Do not look up names: objects and offsets only", 2 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct stats *stats = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &stats->pid, &stats->list, &stats->trim,
						       &stats->filter, &stats->common });
		return 0;
	case KEY_ALL:
		stats->is_all = true;
		return 0;
	case KEY_SORT:
		if (ranking_parse_key(arg, &stats->rows.key) == 0)
			return 0;
		argp_error(state, "--sort %s: there are live, total, peak, max and growth", arg);
		return EINVAL;
	case KEY_ADDRESSES:
		stats->list.style.has_addresses = true;
		return 0;
	case KEY_NO_NAMES:
		stats->without_names = true;
		return 0;
	case ARGP_KEY_ARG:
		if (command_takes_trim_word(&stats->trim, arg))
			return 0;
		if (command_takes_pid_word(&stats->pid, arg))
			return 0;
		return -texts_add(&stats->paths, arg);
	case ARGP_KEY_END:
		if (!!stats->paths + stats->is_all + !!stats->pid <= 1)
			return 0;
		argp_error(state, "one process, --all of them, or files?");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	{ .argp = &pid_argp },	       { .argp = &listing_argp }, { .argp = &trim_argp },
	{ .argp = &dhat_filter_argp }, { .argp = &common_argp },  { 0 }
};
static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[PID | FILE.dhat...]",
	.doc = "What is live, how much, since when and from where: totals, the peak, and the "
	       "stacks "
	       "with the most bytes; of a running dhatd, or of a file made by `dhatctl snapshot'.",
	.children = children,
};

/* ---- for programs -------------------------------------------------------------------------- */

static struct json_object *frames_as_json(const struct dhat_snapshot *snapshot,
					  const Dhat__ProgramPoint *point)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < point->n_frames; i++)
		json_object_array_add(
			array, dhat_json_message(&snapshot->frames[point->frames[i] - 1]->base));
	return array;
}

static struct json_object *lows_as_json(const struct dhat_snapshot *snapshot,
					const struct dhat_rendered_point *point)
{
	struct json_object *array = json_object_new_array();

	for (uint32_t i = 0; array && i < dhat_history_slots(snapshot); i++)
		json_object_array_add(array, json_object_new_uint64(point->lows[i]));
	return array;
}

static void add_numbers(struct json_object *object, const struct dhat_snapshot *snapshot,
			const struct dhat_rendered_point *point)
{
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
		{ "total_bytes", point->total_bytes },
		{ "total_blocks", point->total_blocks },
		{ "live_bytes", point->live_bytes },
		{ "live_blocks", point->live_blocks },
		{ "peak_bytes", point->peak_bytes },
		{ "peak_blocks", point->peak_blocks },
		{ "max_bytes", point->max_bytes },
		{ "max_blocks", point->max_blocks },
		{ "lifetimes_us", point->lifetimes_us },
		{ "first_ns", point->first_ns },
		{ "last_ns", point->last_ns },
		{ "merged_points", point->part_count },
		{ "longest_freed_us", point->longest_freed_us },
		{ "mean_age_us", dhat_rendered_mean_age_us(point) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		json_object_object_add(object, figures[i].name,
				       json_object_new_uint64(figures[i].value));
	json_object_object_add(object, "growth_bytes_per_minute",
			       json_object_new_double(point->growth));
	json_object_object_add(object, "low_bytes", lows_as_json(snapshot, point));
	json_object_object_add(object, "max_is_known",
			       json_object_new_boolean(dhat_rendered_max_is_known(point)));
}

static struct json_object *point_as_json(const struct dhat_rendering *table,
					 const struct dhat_rendered_point *point)
{
	struct json_object *object = json_object_new_object();
	_cleanup_free_ char *name = NULL;
	const char *place;

	add_numbers(object, table->snapshot, point);
	json_object_object_add(object, "label", dhat_json_string(point->part->label));
	json_object_object_add(object, "kind", dhat_json_string(point->part->kind));
	if (table->style.by == DHAT_BY_STACK) {
		json_object_object_add(object, "stop", dhat_json_string(point->part->stop));
		json_object_object_add(object, "frames",
				       frames_as_json(table->snapshot, point->part));
		return object;
	}
	dhat_table_line_split(table->lines[point->lines[point->line_count - 1]], &name, &place);
	json_object_object_add(object, dhat_by_name(table->style.by), dhat_json_string(name ?: ""));
	if (place)
		json_object_object_add(object, "place", dhat_json_string(place));
	return object;
}

static struct json_object *before_as_json(const struct dhat_snapshot *snapshot)
{
	struct json_object *object = json_object_new_object();
	Dhat__ProgramPoint before;

	dhat_snapshot_before(snapshot, &before);
	json_object_object_add(object, "live_bytes", json_object_new_uint64(before.live_bytes));
	json_object_object_add(object, "live_blocks", json_object_new_uint64(before.live_blocks));
	json_object_object_add(object, "peak_bytes", json_object_new_uint64(before.peak_bytes));
	json_object_object_add(object, "peak_blocks", json_object_new_uint64(before.peak_blocks));
	return object;
}

static struct json_object *pids_as_json(const struct dhat_snapshot *snapshot)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < snapshot->pid_count; i++)
		json_object_array_add(array, json_object_new_int64(snapshot->pids[i]));
	if (!snapshot->pid_count)
		json_object_array_add(array, json_object_new_int64(snapshot->head->target->pid));
	return array;
}

static int print_json(const struct stats *stats, struct dhat_rendering *table)
{
	const struct dhat_snapshot *snapshot = table->snapshot;
	struct json_object *object = json_object_new_object(), *points = json_object_new_array();
	size_t count = ranking_sort(table, stats->rows.key);
	int r = -ENOMEM;

	if (count > stats->list.top)
		count = stats->list.top;
	for (size_t i = 0; i < count; i++)
		json_object_array_add(points, point_as_json(table, table->points[i]));
	if (dhat_json_add_fields(object, &snapshot->head->base) == 0 &&
	    dhat_json_add_fields(object, &snapshot->end->base) == 0 &&
	    json_object_object_add(object, "pids", pids_as_json(snapshot)) == 0 &&
	    json_object_object_add(object, "before_attach", before_as_json(snapshot)) == 0 &&
	    json_object_object_add(object, "left_out", filtering_as_json(&stats->filter)) == 0 &&
	    json_object_object_add(object, "by",
				   json_object_new_string(dhat_by_name(table->style.by))) == 0 &&
	    json_object_object_add(object, "points", points) == 0)
		r = dhat_json_put(stdout, object);
	json_object_put(object);
	return r;
}

/* ---- for people ---------------------------------------------------------------------------- */

static void print_notes(struct screen *screen, const Dhat__SnapshotEnd *end)
{
	for (size_t i = 0; i < end->n_notes; i++) {
		fputs(i ? "      " : "\nNote: ", screen->file);
		screen_paragraph(screen, 6, end->notes[i]);
	}
}

static void print(const struct stats *stats, struct dhat_rendering *table,
		  struct dhat_rendering *by_line)
{
	const struct dhat_snapshot *snapshot = table->snapshot;
	struct screen screen;

	screen_init(&screen, stdout);
	view_verdict(&screen, snapshot->end->verdict, "");
	view_targets(&screen, snapshot);
	view_timeline(&screen, snapshot);
	fputc('\n', stdout);
	rows_headline(&screen, by_line);
	fputc('\n', stdout);
	view_totals(&screen, snapshot);
	rows_print(&screen, table, &stats->rows);
	filtering_print(&screen, &stats->filter);
	print_notes(&screen, snapshot->end);
	if (stats->rows.key == RANK_BY_LIVE && stats->list.top) {
		rows_hint(&screen, table, by_line);
		suspicion_hint(&screen, by_line);
	}
	if (!stats->without_names)
		names_hint(&screen, table, &stats->rows);
}

/* ---- both ---------------------------------------------------------------------------------- */

static int report(struct stats *stats, const struct dhat_snapshot *snapshot)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *table = NULL, *by_line = NULL;
	_cleanup_free_ bool *is_shown = calloc(snapshot->point_count + 1, sizeof(*is_shown));
	struct dhat_table_options wanted = { .style = stats->list.style,
					     .trim_rules = stats->trim.rules,
					     .depth = stats->list.depth,
					     .is_shown = is_shown };
	int r;

	r = is_shown ? dhat_filter_apply(&stats->filter, snapshot, is_shown) : -ENOMEM;
	if (r == 0 && stats->common.as_json) {
		/* programs want all there is, and can put it together themselves */
		wanted.style.has_whole_names = true;
		wanted.style.has_addresses |=
			stats->list.style.by == DHAT_BY_STACK && !stats->list.has_depth;
		wanted.depth = stats->list.has_depth ? stats->list.depth : 0;
	}
	if (r == 0)
		r = dhat_table_new(snapshot, &wanted, &table);
	if (r == 0 && stats->common.as_json)
		return print_json(stats, table);
	wanted.style.by = DHAT_BY_LINE;
	if (r == 0)
		r = dhat_table_new(snapshot, &wanted, &by_line);
	if (r == 0)
		print(stats, table, by_line);
	return r;
}

/* Several snapshots: one for each program. */
struct programs {
	struct dhat_snapshot **list;
	size_t count, room;
};

static void programs_deinit(struct programs *programs)
{
	for (size_t i = 0; i < programs->count; i++)
		dhat_snapshot_free(programs->list[i]);
	free(programs->list);
}

/* Takes the snapshot over. */
static int programs_add(struct programs *programs, struct dhat_snapshot *snapshot,
			struct dhat_error *err)
{
	for (size_t i = 0; i < programs->count; i++)
		if (dhat_snapshot_is_of(programs->list[i], snapshot->head->target))
			return dhat_snapshot_merge(programs->list[i], snapshot, err);
	if (array_make_room(&programs->list, &programs->room, programs->count)) {
		dhat_snapshot_free(snapshot);
		return dhat_error_errno(err, ENOMEM, "cannot hold the profiles");
	}
	programs->list[programs->count++] = snapshot;
	return 0;
}

static int read_files(const struct stats *stats, struct programs *programs, struct dhat_error *err)
{
	int r = 0;

	for (char **path = stats->paths; r == 0 && *path; path++) {
		struct dhat_snapshot *snapshot = NULL;

		r = input_read(*path, &snapshot, err);
		if (snapshot)
			r = programs_add(programs, snapshot, err);
	}
	return r;
}

/* One that ends meanwhile has its profile still; one that dhatd has let go of since is none. */
static int fetch(const struct stats *stats, struct programs *programs, const uint32_t *pids,
		 size_t count, struct dhat_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		struct dhat_snapshot *snapshot = NULL;
		struct dhat_error why = { 0 };

		r = client_snapshot(stats->common.socket_path, pids[i], stats->without_names,
				    &snapshot, &why);
		if (snapshot)
			r = programs_add(programs, snapshot, &why);
		if (r < 0 && why.code == DHAT_EXIT_NO_PROCESS && count > 1)
			r = 0;
		else if (r < 0)
			return dhat_error_set(err, -r, why.code, "%s", why.message);
	}
	return r;
}

static int collect(const struct stats *stats, struct programs *programs, struct dhat_error *err)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t count = 1;
	int r;

	if (stats->paths)
		return read_files(stats, programs, err);
	if (stats->is_all) {
		r = choice_all(stats->common.socket_path, &pids, &count, err);
		return r < 0 ? r : fetch(stats, programs, pids, count, err);
	}
	r = stats->pid ? 0 : choice_check(stats->common.socket_path, "stats", err);
	return r < 0 ? r : fetch(stats, programs, &stats->pid, 1, err);
}

static int run(struct stats *stats, struct dhat_error *err)
{
	_cleanup_(programs_deinit) struct programs programs = { 0 };
	bool is_list = stats->common.as_json &&
		       (stats->is_all || (stats->paths && stats->paths[0] && stats->paths[1]));
	int r;

	r = collect(stats, &programs, err);
	if (r < 0)
		return r;
	fputs(is_list ? "[\n" : "", stdout);
	for (size_t i = 0; r == 0 && i < programs.count; i++) {
		if (i)
			fputs(is_list ? ",\n" : "\n", stdout);
		r = report(stats, programs.list[i]);
	}
	fputs(is_list ? "\n]\n" : stats->common.as_json ? "\n" : "", stdout);
	return r < 0 ? dhat_error_errno(err, -r, "cannot sort and print the stacks") : 0;
}

int cmd_stats(int argc, char **argv, struct dhat_error *err)
{
	struct stats stats = { .rows = { .key = RANK_BY_LIVE }, .list = listing_default };
	int r;

	r = command_parse(&argp, argc, argv, &stats, &stats.common, err);
	stats.rows.top = stats.list.top;
	if (r == 0 && !stats.common.is_done)
		r = run(&stats, err);
	dhat_filter_deinit(&stats.filter);
	texts_free(stats.paths);
	return r;
}
