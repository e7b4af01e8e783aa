/* callgrind: what Valgrind's callgrind writes, for KCachegrind and callgrind_annotate.
 *
 * Each metric is an event, options->metric the first. A function has what it asked for itself, by
 * line, and what it asked for through each function that it calls: whole stacks are not kept, that
 * is the format's way. Where a function is in a stack several times, only its innermost place
 * counts: so its inclusive figure is that of the stacks in which it is, each once. The number of
 * calls is that of the blocks ever allocated through them.
 */
#include "export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/interned.h"
#include "proto/base/text.h"
#include "proto/export/intervals.h"
#include "proto/profile/frame_text.h"
#include "proto/profile/rendering.h"
#include "proto/profile/verdict.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

static const char *const events[] = {
	[DHAT_LIVE_BYTES] = "LiveBytes",   [DHAT_LIVE_BLOCKS] = "LiveBlocks",
	[DHAT_PEAK_BYTES] = "PeakBytes",   [DHAT_PEAK_BLOCKS] = "PeakBlocks",
	[DHAT_TOTAL_BYTES] = "TotalBytes", [DHAT_TOTAL_BLOCKS] = "TotalBlocks",
};
_Static_assert(ARRAY_SIZE(events) == DHAT_METRIC_COUNT, "each metric is an event");

struct place {		   /* of a line of the rendering */
	uint32_t function; /* in graph.functions */
	uint32_t line;
};

#define NO_CALLEE UINT32_MAX

struct cost { /* of a line of a function, itself or through a callee */
	struct place place;
	uint32_t callee; /* or NO_CALLEE */
	uint64_t values[DHAT_METRIC_COUNT];
};

struct graph {
	const struct dhat_rendering *rendering;
	struct interned functions; /* "NAME\tFILE" */
	struct interned files;
	struct place *places; /* of each line of the rendering */
	/* of each function and of each file; of both there are no more than lines */
	uint32_t *file_of;
	size_t *seen_in;			 /* the last stack a function was in, from 1 on */
	bool *function_is_named, *file_is_named; /* the file has its name already */
	struct interned keys; /* "FUNCTION LINE CALLEE": the number is the cost's */
	struct cost *costs;
	size_t cost_room;
	enum dhat_metric order[DHAT_METRIC_COUNT];
	FILE *file;
};

static void graph_deinit(struct graph *graph)
{
	interned_deinit(&graph->functions);
	interned_deinit(&graph->files);
	interned_deinit(&graph->keys);
	free(graph->file_of);
	free(graph->places);
	free(graph->seen_in);
	free(graph->function_is_named);
	free(graph->file_is_named);
	free(graph->costs);
}

/* ---- functions ----------------------------------------------------------------------------- */

/* "LINE\tNAME\tFILE"; what is no frame has no tab */
static char *frame_line(const Dhat__Frame *frame, const Dhat__Location *location)
{
	bool has_file = location && *location->file;
	_cleanup_free_ char *name = dhat_frame_name(frame, location);
	_cleanup_free_ char *file = dhat_text_clean(has_file ? location->file : frame->object);
	char *line;

	if (!name || !file ||
	    asprintf(&line, "%u\t%s\t%s", has_file ? location->line : 0, name, file) < 0)
		return NULL;
	return line;
}

static int add_place(struct graph *graph, const char *text, struct place *ret)
{
	const char *tab = strchr(text, '\t'), *function = tab ? tab + 1 : text, *file;
	uint32_t file_number;
	int r = interned_add(&graph->functions, function, &ret->function);

	tab = strchr(function, '\t');
	file = tab && tab[1] ? tab + 1 : "???";
	if (r == 0)
		r = interned_add(&graph->files, file, &file_number);
	if (r == 0)
		graph->file_of[ret->function] = file_number;
	ret->line = strtoul(text, NULL, 10);
	return r;
}

static int add_places(struct graph *graph)
{
	size_t count = graph->rendering->line_count;
	int r = 0;

	graph->places = calloc(count + 1, sizeof(*graph->places));
	graph->file_of = calloc(count + 1, sizeof(*graph->file_of));
	graph->seen_in = calloc(count + 1, sizeof(*graph->seen_in));
	graph->function_is_named = calloc(count + 1, sizeof(*graph->function_is_named));
	graph->file_is_named = calloc(count + 1, sizeof(*graph->file_is_named));
	if (!graph->places || !graph->file_of || !graph->seen_in || !graph->function_is_named ||
	    !graph->file_is_named)
		return -ENOMEM;
	for (size_t i = 1; r == 0 && i < count; i++) /* [0] is "[root]" */
		r = add_place(graph, graph->rendering->lines[i], &graph->places[i]);
	return r;
}

/* ---- costs --------------------------------------------------------------------------------- */

static int add_cost(struct graph *graph, struct place place, uint32_t callee,
		    const struct dhat_rendered_point *point)
{
	struct cost *cost;
	uint32_t number;
	char key[64];
	int r;

	snprintf(key, sizeof(key), "%" PRIx32 " %" PRIx32 " %" PRIx32, place.function, place.line,
		 callee);
	if (array_make_room(&graph->costs, &graph->cost_room, graph->keys.count))
		return -ENOMEM;
	cost = &graph->costs[graph->keys.count];
	*cost = (struct cost){ .place = place, .callee = callee };
	r = interned_add(&graph->keys, key, &number);
	if (r < 0)
		return r;
	cost = &graph->costs[number];
	for (int metric = 0; metric < DHAT_METRIC_COUNT; metric++)
		cost->values[metric] += dhat_metric_of(point, metric);
	return 0;
}

/* number: of the point, from 1 on */
static int add_point(struct graph *graph, const struct dhat_rendered_point *point, size_t number)
{
	uint32_t callee = NO_CALLEE;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < point->line_count; i++) {
		struct place place = graph->places[point->lines[i]];

		if (graph->seen_in[place.function] != number)
			r = add_cost(graph, place, callee, point);
		graph->seen_in[place.function] = number;
		callee = place.function;
	}
	return r;
}

/* By file, function, what is its own first, line. */
static int compare_costs(const void *a_, const void *b_, void *graph_)
{
	const struct graph *graph = graph_;
	const struct cost *a = a_, *b = b_;
	const uint32_t keys[][2] = {
		{ graph->file_of[a->place.function], graph->file_of[b->place.function] },
		{ a->place.function, b->place.function },
		{ a->callee != NO_CALLEE, b->callee != NO_CALLEE },
		{ a->place.line, b->place.line },
		{ a->callee, b->callee },
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i][0] != keys[i][1])
			return keys[i][0] < keys[i][1] ? -1 : 1;
	return 0;
}

/* ---- the file ------------------------------------------------------------------------------ */

static void put_values(const struct graph *graph, const uint64_t *values)
{
	for (int i = 0; i < DHAT_METRIC_COUNT; i++)
		fprintf(graph->file, " %" PRIu64, values[graph->order[i]]);
	fputc('\n', graph->file);
}

/* "fl=(3) src/a.c", and "fl=(3)" from the second time on: numbers are from 1 on. */
static int put_name(const struct graph *graph, const char *key, uint32_t number, const char *text,
		    size_t length, bool *is_named)
{
	_cleanup_free_ char *name = strndup(text, length),
			    *clean = name ? dhat_text_clean(name) : NULL;

	if (!clean)
		return -ENOMEM;
	fprintf(graph->file, "%s=(%" PRIu32 ")%s%s\n", key, number + 1, *is_named ? "" : " ",
		*is_named ? "" : clean);
	*is_named = true;
	return 0;
}

static int put_function(const struct graph *graph, const char *file_key, const char *function_key,
			uint32_t function)
{
	const char *name = graph->functions.list[function];
	uint32_t file = graph->file_of[function];
	const char *path = graph->files.list[file];
	int r = put_name(graph, file_key, file, path, strlen(path), &graph->file_is_named[file]);

	return r < 0 ? r
		     : put_name(graph, function_key, function, name, strcspn(name, "\t"),
				&graph->function_is_named[function]);
}

static int put_cost(const struct graph *graph, const struct cost *cost)
{
	int r = 0;

	if (cost->callee != NO_CALLEE) {
		r = put_function(graph, "cfi", "cfn", cost->callee);
		fprintf(graph->file, "calls=%" PRIu64 " 0\n", cost->values[DHAT_TOTAL_BLOCKS]);
	}
	fprintf(graph->file, "%" PRIu32, cost->place.line);
	put_values(graph, cost->values);
	return r;
}

static int put_costs(struct graph *graph)
{
	uint32_t function = UINT32_MAX;
	int r = 0;

	if (graph->keys.count)
		qsort_r(graph->costs, graph->keys.count, sizeof(*graph->costs), compare_costs,
			graph);
	for (uint32_t i = 0; r == 0 && i < graph->keys.count; i++) {
		const struct cost *cost = &graph->costs[i];

		if (cost->place.function != function) {
			function = cost->place.function;
			fputc('\n', graph->file);
			r = put_function(graph, "fl", "fn", function);
		}
		if (r == 0)
			r = put_cost(graph, cost);
	}
	return r;
}

static int put_head(const struct graph *graph)
{
	const struct dhat_snapshot *snapshot = graph->rendering->snapshot;
	_cleanup_free_ char *name = dhat_text_clean(snapshot->head->target->executable);
	_cleanup_free_ char *estimates = intervals_sentence(snapshot);
	uint64_t sums[DHAT_METRIC_COUNT] = { 0 };

	if (!name)
		return -ENOMEM;
	for (size_t i = 0; i < graph->rendering->point_count; i++)
		for (int metric = 0; metric < DHAT_METRIC_COUNT; metric++)
			sums[metric] += dhat_metric_of(graph->rendering->points[i], metric);
	fprintf(graph->file,
		"# callgrind format\nversion: 1\ncreator: dhatd " DHAT_VERSION "\npid: %" PRIu32
		"\ncmd: %s\ndesc: Verdict: %s%s%s\npositions: line\nevents:",
		snapshot->head->target->pid, name,
		dhat_verdict_word(dhat_verdict_of(snapshot->end->verdict)), estimates ? "; " : "",
		estimates ?: "");
	for (int i = 0; i < DHAT_METRIC_COUNT; i++)
		fprintf(graph->file, " %s", events[graph->order[i]]);
	fputs("\nsummary:", graph->file);
	put_values(graph, sums);
	return 0;
}

static int put_file(struct graph *graph, enum dhat_metric first)
{
	int r = add_places(graph);

	graph->order[0] = first;
	for (int metric = 0, i = 1; metric < DHAT_METRIC_COUNT; metric++)
		if (metric != (int)first)
			graph->order[i++] = metric;
	for (size_t i = 0; r == 0 && i < graph->rendering->point_count; i++)
		r = add_point(graph, graph->rendering->points[i], i + 1);
	if (r == 0)
		r = put_head(graph);
	return r < 0 ? r : put_costs(graph);
}

static int write_callgrind(const struct dhat_snapshot *snapshot,
			   const struct dhat_export_options *options, FILE *file,
			   struct dhat_error *err)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *rendering = NULL;
	struct graph graph = { .file = file };
	int r = dhat_rendering_new(snapshot, frame_line, options->trim_rules, &rendering);

	graph.rendering = rendering;
	if (r == 0)
		r = put_file(&graph, options->metric);
	graph_deinit(&graph);
	return r < 0 ? dhat_error_errno(err, -r, "cannot write the profile for callgrind_annotate")
		     : 0;
}

const struct dhat_exporter dhat_callgrind_exporter = {
	.name = "callgrind",
	.suffix = ".callgrind",
	.write = write_callgrind,
};
