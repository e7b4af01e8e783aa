/* massif: what Valgrind's massif writes, for ms_print and massif-visualizer.
 *
 * Of the moments it could hold we know two with their stacks: t-gmax, which is its "peak", and
 * t-end; between them stands what was live at the end of each slot of the timeline. A tree begins
 * where memory was asked for and goes outwards, the largest first. As massif does, it puts together
 * what is below a share of the whole, so that the file stays small; its sums are those of all. Its
 * reader takes "#" for the beginning of a comment, in names too.
 */
#include "export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/export/intervals.h"
#include "proto/profile/frame_text.h"
#include "proto/profile/rendering.h"
#include "proto/profile/verdict.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

#define NS_PER_MS 1000000
/* A node has at least one of so many parts of the whole; massif's default is 100. */
#define THRESHOLD 1000

struct tree {
	const struct dhat_rendering *rendering;
	const struct dhat_rendered_point **order; /* from the innermost frame on */
	enum dhat_metric metric;
	uint64_t least; /* bytes of a node of its own */
	FILE *file;
};

struct node { /* the points from `at` on, whose first lines are equal */
	const struct dhat_rendered_point **at;
	size_t count;
	uint64_t bytes;
};

struct nodes {
	struct node *list; /* the largest first */
	size_t count, room;
	uint64_t small_bytes; /* of those below the threshold, which are not in the list */
	size_t small_count;
};

/* ---- text ---------------------------------------------------------------------------------- */

/* Fit for one line: "#" would end it. The caller frees. */
static char *line_text(const char *text)
{
	char *clean = dhat_text_clean(text);

	for (char *c = clean; c && *c; c++)
		if (*c == '#')
			*c = '@';
	return clean;
}

/* "0xADDR: function (file.c:12)", "0xADDR: function (in /path/object)" */
static char *frame_line(const Dhat__Frame *frame, const Dhat__Location *location)
{
	_cleanup_free_ char *name = dhat_frame_name(frame, location);
	char *line;
	int n;

	if (!name)
		return NULL;
	if (location && *location->file)
		n = asprintf(&line, "0x%" PRIX64 ": %s (%s:%u)", frame->address, name,
			     location->file, location->line);
	else
		n = asprintf(&line, "0x%" PRIX64 ": %s (in %s)", frame->address, name,
			     *frame->object ? frame->object : "no file");
	return n < 0 ? NULL : line;
}

/* ---- the tree ------------------------------------------------------------------------------ */

static int compare_stacks(const void *a_, const void *b_)
{
	const struct dhat_rendered_point *a = *(const struct dhat_rendered_point *const *)a_,
					 *b = *(const struct dhat_rendered_point *const *)b_;

	for (uint32_t i = 0; i < a->line_count && i < b->line_count; i++)
		if (a->lines[i] != b->lines[i])
			return a->lines[i] < b->lines[i] ? -1 : 1;
	return (a->line_count > b->line_count) - (a->line_count < b->line_count);
}

static int compare_nodes(const void *a_, const void *b_)
{
	const struct node *a = a_, *b = b_;

	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return a->at < b->at ? -1 : a->at > b->at;
}

static int add_node(const struct tree *tree, struct nodes *nodes, const struct node *node)
{
	if (!node->bytes)
		return 0;
	if (node->bytes < tree->least) {
		nodes->small_bytes += node->bytes;
		nodes->small_count++;
		return 0;
	}
	if (array_make_room(&nodes->list, &nodes->room, nodes->count))
		return -ENOMEM;
	nodes->list[nodes->count++] = *node;
	return 0;
}

/* What a node's points have at that depth. */
static int find_children(const struct tree *tree, const struct node *parent, uint32_t depth,
			 struct nodes *ret)
{
	struct node node = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < parent->count; i++) {
		const struct dhat_rendered_point *point = parent->at[i];

		if (point->line_count <= depth)
			continue;
		if (!node.count || node.at[0]->lines[depth] != point->lines[depth]) {
			r = add_node(tree, ret, &node);
			node = (struct node){ .at = &parent->at[i] };
		}
		node.count++;
		node.bytes += dhat_metric_of(point, tree->metric);
	}
	if (r == 0)
		r = add_node(tree, ret, &node);
	if (ret->count)
		qsort(ret->list, ret->count, sizeof(*ret->list), compare_nodes);
	return r;
}

static void put_small(const struct tree *tree, const struct nodes *nodes, uint32_t depth)
{
	fprintf(tree->file,
		"%*sn0: %" PRIu64 " in %zu place%s, %s below dhatd's threshold (0.10%%)\n",
		(int)depth + 1, "", nodes->small_bytes, nodes->small_count,
		nodes->small_count == 1 ? "" : "s", nodes->small_count == 1 ? "which is" : "all");
}

/* depth: of its children's lines. As deep as a stack has lines, a bound of the snapshot's. */
static int put_node(const struct tree *tree, const struct node *node, uint32_t depth)
{
	_cleanup_free_ char *text =
		line_text(depth ? tree->rendering->lines[node->at[0]->lines[depth - 1]]
				: "(heap allocation functions) as dhatd found them");
	struct nodes children = { 0 };
	int r = text ? find_children(tree, node, depth, &children) : -ENOMEM;

	if (r == 0)
		fprintf(tree->file, "%*sn%zu: %" PRIu64 " %s\n", (int)depth, "",
			children.count + !!children.small_count, node->bytes, text);
	for (size_t i = 0; r == 0 && i < children.count; i++)
		r = put_node(tree, &children.list[i], depth + 1);
	if (r == 0 && children.small_count)
		put_small(tree, &children, depth);
	free(children.list);
	return r;
}

/* ---- the file ------------------------------------------------------------------------------ */

static void put_head(struct tree *tree, unsigned number, uint64_t ns, uint64_t bytes,
		     const char *kind)
{
	fprintf(tree->file,
		"#-----------\nsnapshot=%u\n#-----------\ntime=%" PRIu64 "\nmem_heap_B=%" PRIu64
		"\nmem_heap_extra_B=0\nmem_stacks_B=0\nheap_tree=%s\n",
		number, ns / NS_PER_MS, bytes, kind);
}

static int put_moment(struct tree *tree, unsigned number, uint64_t ns, enum dhat_metric metric,
		      const char *kind)
{
	struct node all = { .at = tree->order, .count = tree->rendering->point_count };

	for (size_t i = 0; i < all.count; i++)
		all.bytes += dhat_metric_of(all.at[i], metric);
	tree->metric = metric;
	tree->least = all.bytes / THRESHOLD;
	put_head(tree, number, ns, all.bytes, kind);
	return put_node(tree, &all, 0);
}

/* Of the whole process: beside trees of chosen stacks it would say something else. */
static const Dhat__Timeline *timeline_of(const struct dhat_snapshot *snapshot)
{
	uint64_t live_bytes = 0;

	for (size_t i = 0; i < snapshot->point_count; i++)
		live_bytes += snapshot->points[i]->live_bytes;
	return live_bytes == snapshot->end->totals->live_bytes ? snapshot->end->timeline : NULL;
}

/* The timeline's slots that end in [from_ns, to_ns). */
static void put_slots(struct tree *tree, unsigned *number, uint64_t from_ns, uint64_t to_ns)
{
	const Dhat__Timeline *timeline = timeline_of(tree->rendering->snapshot);
	size_t count = timeline && timeline->slot_ns ? timeline->n_live_bytes : 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t ns = timeline->start_ns + (i + 1) * timeline->slot_ns;

		if (ns >= from_ns && ns < to_ns)
			put_head(tree, (*number)++, ns, timeline->live_bytes[i], "empty");
	}
}

static int put_moments(struct tree *tree)
{
	const Dhat__Totals *totals = tree->rendering->snapshot->end->totals;
	unsigned number = 0;
	int r;

	put_slots(tree, &number, 0, totals->peak_ns);
	r = put_moment(tree, number++, totals->peak_ns, DHAT_PEAK_BYTES, "peak");
	if (r < 0)
		return r;
	put_slots(tree, &number, totals->peak_ns, totals->end_ns);
	return put_moment(tree, number, totals->end_ns, DHAT_LIVE_BYTES, "detailed");
}

static int put_file(struct tree *tree)
{
	const struct dhat_snapshot *snapshot = tree->rendering->snapshot;
	_cleanup_free_ char *name = line_text(snapshot->head->target->executable);
	_cleanup_free_ char *estimates = intervals_sentence(snapshot);

	if (!name)
		return -ENOMEM;
	fprintf(tree->file, "desc: dhatd " DHAT_VERSION ", %s%s%s\ncmd: %s\ntime_unit: ms\n",
		dhat_verdict_word(dhat_verdict_of(snapshot->end->verdict)), estimates ? "; " : "",
		estimates ?: "", name);
	return put_moments(tree);
}

static int write_massif(const struct dhat_snapshot *snapshot,
			const struct dhat_export_options *options, FILE *file,
			struct dhat_error *err)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *rendering = NULL;
	_cleanup_free_ const struct dhat_rendered_point **order = NULL;
	struct tree tree = { .file = file };
	int r = dhat_rendering_new(snapshot, frame_line, options->trim_rules, &rendering);

	if (r == 0) {
		order = malloc((rendering->point_count + 1) * sizeof(*order));
		r = order ? 0 : -ENOMEM;
	}
	if (r == 0) {
		for (size_t i = 0; i < rendering->point_count; i++)
			order[i] = rendering->points[i];
		qsort(order, rendering->point_count, sizeof(*order), compare_stacks);
		tree.rendering = rendering;
		tree.order = order;
		r = put_file(&tree);
	}
	return r < 0 ? dhat_error_errno(err, -r, "cannot write the profile for ms_print") : 0;
}

const struct dhat_exporter dhat_massif_exporter = {
	.name = "massif",
	.suffix = ".massif",
	.write = write_massif,
};
