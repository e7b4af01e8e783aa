/* dhatctl stats: what is live, and from where. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client.h"
#include "command.h"
#include "input.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/units.h"
#include "view.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

struct stats {
	struct common common;
	uint32_t pid;
	const char *path; /* a .dhat file instead of a daemon */
	struct view_points points;
	struct trim_options trim;
	bool without_names;
};

enum { KEY_SORT = 0x100, KEY_NO_NAMES, KEY_DEPTH, KEY_ADDRESSES };

static const struct argp_option options[] = {
	{ "sort", KEY_SORT, "KEY", 0,
	  "List stacks by their bytes: live (now), total (ever), peak (at t-gmax) or max (each "
	  "one's "
	  "own maximum)",
	  2 },
	{ "top", 'n', "N", 0, "List N stacks (default 10; 0: none)", 2 },
	{ "depth", KEY_DEPTH, "N", 0, "Show N frames of each (default 12; 0: all)", 2 },
	{ "addresses", KEY_ADDRESSES, 0, 0, "Show the frames' addresses", 2 },
	{ "no-names", KEY_NO_NAMES, 0, 0, "Do not look up names: objects and offsets only", 2 },
	{ 0 },
};

static int parse_number(struct argp_state *state, const char *option, const char *arg, size_t *ret)
{
	uint64_t number;

	if (dhat_parse_size(arg, &number) < 0) {
		argp_error(state, "%s %s: not a number", option, arg);
		return EINVAL;
	}
	*ret = number;
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct stats *stats = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &stats->pid, &stats->trim, &stats->common });
		return 0;
	case KEY_SORT:
		if (ranking_parse_key(arg, &stats->points.key) == 0)
			return 0;
		argp_error(state, "--sort %s: there are live, total, peak and max", arg);
		return EINVAL;
	case 'n':
		return parse_number(state, "--top", arg, &stats->points.top);
	case KEY_DEPTH:
		return parse_number(state, "--depth", arg, &stats->points.depth);
	case KEY_ADDRESSES:
		stats->points.has_addresses = true;
		return 0;
	case KEY_NO_NAMES:
		stats->without_names = true;
		return 0;
	case ARGP_KEY_ARG:
		if (command_takes_trim_word(&stats->trim, arg))
			return 0;
		if (stats->path) {
			argp_error(state, "%s: one file is enough", arg);
			return EINVAL;
		}
		stats->path = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	{ .argp = &pid_argp }, { .argp = &trim_argp }, { .argp = &common_argp }, { 0 }
};
static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[FILE.dhat]",
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

static struct json_object *point_as_json(const struct dhat_snapshot *snapshot,
					 const struct dhat_rendered_point *point)
{
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
		{ "total_bytes", point->total_bytes },	 { "total_blocks", point->total_blocks },
		{ "live_bytes", point->live_bytes },	 { "live_blocks", point->live_blocks },
		{ "peak_bytes", point->peak_bytes },	 { "peak_blocks", point->peak_blocks },
		{ "max_bytes", point->max_bytes },	 { "max_blocks", point->max_blocks },
		{ "lifetimes_us", point->lifetimes_us }, { "first_ns", point->first_ns },
		{ "last_ns", point->last_ns },		 { "merged_points", point->part_count },
	};
	struct json_object *object = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		json_object_object_add(object, figures[i].name,
				       json_object_new_uint64(figures[i].value));
	json_object_object_add(object, "max_is_known",
			       json_object_new_boolean(dhat_rendered_max_is_known(point)));
	json_object_object_add(object, "label", dhat_json_string(point->part->label));
	json_object_object_add(object, "kind", dhat_json_string(point->part->kind));
	json_object_object_add(object, "stop", dhat_json_string(point->part->stop));
	json_object_object_add(object, "frames", frames_as_json(snapshot, point->part));
	return object;
}

static int print_json(const struct stats *stats, struct dhat_rendering *rendering)
{
	const struct dhat_snapshot *snapshot = rendering->snapshot;
	struct json_object *object = json_object_new_object(), *points = json_object_new_array();
	size_t count = ranking_sort(rendering, stats->points.key);
	int r = -ENOMEM;

	if (count > stats->points.top)
		count = stats->points.top;
	for (size_t i = 0; i < count; i++)
		json_object_array_add(points, point_as_json(snapshot, rendering->points[i]));
	if (dhat_json_add_fields(object, &snapshot->head->base) == 0 &&
	    dhat_json_add_fields(object, &snapshot->end->base) == 0 &&
	    json_object_object_add(object, "points", points) == 0)
		r = dhat_json_put(stdout, object);
	fputc('\n', stdout);
	json_object_put(object);
	return r;
}

/* ---- for people ---------------------------------------------------------------------------- */

static void print_list(struct screen *screen, const struct stats *stats,
		       struct dhat_rendering *rendering)
{
	static const char *const titles[] = { "live bytes", "bytes ever allocated",
					      "bytes at the peak (t-gmax)",
					      "bytes at their maximum" };
	size_t count = ranking_sort(rendering, stats->points.key);

	if (!stats->points.top || !count)
		return;
	fprintf(screen->file, "\nStacks with the most %s", titles[stats->points.key]);
	if (count > stats->points.top)
		fprintf(screen->file, ", %s of %s (--top)", view_count(stats->points.top),
			view_count(count));
	fputs(":\n", screen->file);
	view_points(screen, rendering, &stats->points);
}

static void print_notes(struct screen *screen, const Dhat__SnapshotEnd *end)
{
	for (size_t i = 0; i < end->n_notes; i++) {
		fputs(i ? "      " : "\nNote: ", screen->file);
		screen_paragraph(screen, 6, end->notes[i]);
	}
}

static void print(const struct stats *stats, struct dhat_rendering *rendering)
{
	const struct dhat_snapshot *snapshot = rendering->snapshot;
	struct screen screen;

	screen_init(&screen, stdout);
	view_verdict(&screen, snapshot->end->verdict, "");
	view_target(&screen, snapshot->head->target);
	fputc('\n', stdout);
	view_headline(&screen, rendering);
	fputc('\n', stdout);
	view_totals(&screen, snapshot->end->totals);
	print_list(&screen, stats, rendering);
	print_notes(&screen, snapshot->end);
}

int cmd_stats(int argc, char **argv, struct dhat_error *err)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *rendering = NULL;
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	struct stats stats = { .points = { .key = RANK_BY_LIVE, .top = 10, .depth = 12 } };
	int r;

	r = command_parse(&argp, argc, argv, &stats, &stats.common, err);
	if (r < 0 || stats.common.is_done)
		return r;
	if (stats.path)
		r = input_read(stats.path, &snapshot, err);
	else
		r = client_snapshot(stats.common.socket_path, stats.pid, stats.without_names,
				    &snapshot, err);
	if (r < 0)
		return r;
	r = dhat_rendering_new(snapshot, ranking_line, stats.trim.rules, &rendering);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot sort the stacks");
	if (stats.common.as_json)
		r = print_json(&stats, rendering);
	else
		print(&stats, rendering);
	return r < 0 ? dhat_error_errno(err, -r, "cannot print the result") : 0;
}
