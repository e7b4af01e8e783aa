#include "digest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/program.h"
#include "proto/base/text.h"
#include "redact.h"

DEFINE_CLEANUP_PTR(struct dhat_digest *, dhat_digest_free)

static void free_names(char **names, size_t count)
{
	for (size_t i = 0; names && i < count; i++)
		free(names[i]);
	free(names);
}

void dhat_digest_free(struct dhat_digest *digest)
{
	if (!digest)
		return;
	for (size_t i = 0; i < digest->row_count; i++)
		free_names(digest->rows[i].names, digest->rows[i].name_count);
	free(digest->rows);
	free(digest->program);
	dhat_rendering_free(digest->table);
	free(digest);
}

int dhat_digest_add(struct dhat_digest *digest, char **names, size_t name_count,
		    struct dhat_digest_row **ret)
{
	if (array_make_room(&digest->rows, &digest->row_room, digest->row_count)) {
		free_names(names, name_count);
		return -ENOMEM;
	}
	*ret = &digest->rows[digest->row_count++];
	**ret = (struct dhat_digest_row){ .names = names, .name_count = name_count };
	return 0;
}

/* By bytes: no locale changes the order of a file. */
static int compare_rows(const void *a_, const void *b_)
{
	const struct dhat_digest_row *a = a_, *b = b_;
	int order = 0;

	for (size_t i = 0; !order && i < a->name_count && i < b->name_count; i++)
		order = strcmp(a->names[i], b->names[i]);
	if (order)
		return order;
	return a->name_count < b->name_count ? -1 : a->name_count > b->name_count;
}

bool dhat_digest_sort(struct dhat_digest *digest)
{
	if (digest->row_count)
		qsort(digest->rows, digest->row_count, sizeof(*digest->rows), compare_rows);
	for (size_t i = 1; i < digest->row_count; i++)
		if (!compare_rows(&digest->rows[i - 1], &digest->rows[i]))
			return false;
	return true;
}

const struct dhat_digest_row *dhat_digest_find(const struct dhat_digest *digest,
					       const struct dhat_digest_row *like)
{
	if (!digest->row_count)
		return NULL;
	return bsearch(like, digest->rows, digest->row_count, sizeof(*digest->rows), compare_rows);
}

bool dhat_digest_is_redacted(const struct dhat_digest *digest)
{
	return !strcmp(digest->program, DHAT_REDACTED);
}

/* "FUNCTION (FILE)": each by itself, so that a pattern's ^ and $ mean the ends of either. */
static bool name_matches(const char *name, const char *pattern)
{
	size_t length = strlen(name);
	const char *open = length && name[length - 1] == ')' ? strrchr(name, '(') : NULL;
	_cleanup_free_ char *function = NULL, *file = NULL;

	if (!open || open == name || open[-1] != ' ')
		return dhat_pattern_matches(pattern, name);
	function = strndup(name, open - 1 - name);
	file = strndup(open + 1, name + length - 1 - (open + 1));
	return (function && dhat_pattern_matches(pattern, function)) ||
	       (file && dhat_pattern_matches(pattern, file));
}

bool dhat_digest_row_matches(const struct dhat_digest_row *row, const char *pattern)
{
	if (!pattern)
		return true;
	for (size_t i = 0; i < row->name_count; i++)
		if (name_matches(row->names[i], pattern))
			return true;
	return false;
}

/* ---- from a snapshot ----------------------------------------------------------------------- */

/* "FUNCTION (FILE)", or a note as it is. NULL: out of memory. */
static char *name_of_line(const char *line)
{
	_cleanup_free_ char *name = NULL, *text = NULL;
	const char *place;

	dhat_table_line_split(line, &name, &place);
	if (!name)
		return NULL;
	if (place && asprintf(&text, "%s (%s)", name, place) < 0) {
		text = NULL;
		return NULL;
	}
	return dhat_text_clean(text ?: name);
}

static int add_row(struct dhat_digest *digest, const struct dhat_rendered_point *point)
{
	char **names = calloc(point->line_count, sizeof(*names));
	struct dhat_digest_row *row;
	int r;

	for (uint32_t i = 0; names && i < point->line_count; i++) {
		names[i] = name_of_line(digest->table->lines[point->lines[i]]);
		if (!names[i]) {
			free_names(names, i);
			names = NULL;
		}
	}
	if (!names)
		return -ENOMEM;
	r = dhat_digest_add(digest, names, point->line_count, &row);
	if (r < 0)
		return r;
	row->point = point;
	for (size_t i = 0; i < DHAT_FIGURE_COUNT; i++)
		row->figures[i] = dhat_metric_of(point, i);
	row->evidence = point->evidence;
	return 0;
}

/* Names that differ in bytes that nobody can read may have become one: G1. */
static void merge_equal(struct dhat_digest *digest)
{
	size_t kept = 0;

	for (size_t i = 1; i < digest->row_count; i++) {
		struct dhat_digest_row *last = &digest->rows[kept], *row = &digest->rows[i];

		if (compare_rows(last, row)) {
			digest->rows[++kept] = *row;
			continue;
		}
		for (size_t j = 0; j < DHAT_FIGURE_COUNT; j++)
			last->figures[j] += row->figures[j];
		dhat_evidence_add(&last->evidence, &row->evidence);
		free_names(row->names, row->name_count);
	}
	digest->row_count = digest->row_count ? kept + 1 : 0;
}

static uint64_t beside_bytes_of(const Dhat__ProgramPoint *point)
{
	struct dhat_point_pages pages = { 0 };

	dhat_point_pages_add(&pages, point);
	return pages.beside_bytes;
}

/* As of the last scan, and of pages; where there was none they stay 0: dhat_digest_lacks(). */
static void fill_others(const struct dhat_snapshot *snapshot, uint64_t *figures)
{
	const Dhat__SnapshotEnd *end = snapshot->end;

	if (end->holds && end->holds->lost) {
		figures[DHAT_LOST_BYTES] = end->holds->lost->bytes;
		figures[DHAT_LOST_BLOCKS] = end->holds->lost->blocks;
	}
	if (snapshot->head->has_pages) {
		figures[DHAT_BESIDE_BYTES] = end->pages->beside_bytes;
		figures[DHAT_FREE_BYTES] = end->pages->resident_bytes - end->pages->live_bytes;
	}
}

/* The totals, less what is not to be counted. */
static void fill_figures(struct dhat_digest *digest, const struct dhat_snapshot *snapshot,
			 const bool *is_shown)
{
	const Dhat__Totals *totals = snapshot->end->totals;
	uint64_t *figures = digest->figures;

	figures[DHAT_LIVE_BYTES] = totals->live_bytes;
	figures[DHAT_LIVE_BLOCKS] = totals->live_blocks;
	figures[DHAT_PEAK_BYTES] = totals->peak_bytes;
	figures[DHAT_PEAK_BLOCKS] = totals->peak_blocks;
	figures[DHAT_TOTAL_BYTES] = totals->total_bytes;
	figures[DHAT_TOTAL_BLOCKS] = totals->total_blocks;
	fill_others(snapshot, figures);
	dhat_evidence_add_missed(&digest->evidence, snapshot->head->sample_bytes);
	for (size_t i = 0; i < snapshot->point_count; i++) {
		const Dhat__ProgramPoint *point = snapshot->points[i];
		const Dhat__HoldsSum *lost = point->holds ? point->holds->lost : NULL;
		const uint64_t parts[DHAT_FIGURE_COUNT] = {
			[DHAT_LIVE_BYTES] = point->live_bytes,
			[DHAT_LIVE_BLOCKS] = point->live_blocks,
			[DHAT_PEAK_BYTES] = point->peak_bytes,
			[DHAT_PEAK_BLOCKS] = point->peak_blocks,
			[DHAT_TOTAL_BYTES] = point->total_bytes,
			[DHAT_TOTAL_BLOCKS] = point->total_blocks,
			[DHAT_LOST_BYTES] = lost ? lost->bytes : 0,
			[DHAT_LOST_BLOCKS] = lost ? lost->blocks : 0,
			[DHAT_BESIDE_BYTES] = beside_bytes_of(point),
		};

		if (is_shown[i])
			dhat_evidence_add_point(&digest->evidence, snapshot->head, point);
		for (size_t j = 0; !is_shown[i] && j < DHAT_FIGURE_COUNT; j++)
			figures[j] -= parts[j] < figures[j] ? parts[j] : figures[j];
	}
}

/* keeps G2 */
static int choose(const struct dhat_snapshot *snapshot, struct dhat_filter *filter, bool *is_shown)
{
	int r = dhat_filter_apply(filter, snapshot, is_shown);

	for (size_t i = 0; i < snapshot->point_count; i++)
		is_shown[i] = is_shown[i] && !dhat_point_is_before(snapshot->points[i]);
	return r;
}

static int fill(struct dhat_digest *digest, const struct dhat_snapshot *snapshot,
		const bool *is_shown)
{
	const struct dhat_table_options options = { .style.is_portable = true,
						    .is_own_only = true,
						    .is_shown = is_shown };
	const Dhat__Target *target = snapshot->head->target;
	char program[DHAT_PROGRAM_CHARS];
	int r = dhat_table_new(snapshot, &options, &digest->table);

	if (r < 0)
		return r;
	digest->verdict = dhat_verdict_of(snapshot->end->verdict);
	digest->sample_bytes = snapshot->head->sample_bytes;
	dhat_program_name(target->command, target->executable, program);
	digest->program = dhat_text_clean(program);
	if (!digest->program)
		return -ENOMEM;
	fill_figures(digest, snapshot, is_shown);
	for (size_t i = 0; r == 0 && i < digest->table->point_count; i++)
		r = add_row(digest, digest->table->points[i]);
	return r;
}

int dhat_digest_of(const struct dhat_snapshot *snapshot, struct dhat_filter *filter,
		   struct dhat_digest **ret)
{
	_cleanup_(dhat_digest_free_ptr) struct dhat_digest *digest = calloc(1, sizeof(*digest));
	_cleanup_free_ bool *is_shown = calloc(snapshot->point_count + 1, sizeof(*is_shown));
	int r = digest && is_shown ? choose(snapshot, filter, is_shown) : -ENOMEM;

	if (r == 0)
		r = fill(digest, snapshot, is_shown);
	if (r < 0)
		return r;
	if (!dhat_digest_sort(digest))
		merge_equal(digest);
	*ret = take_ptr(digest);
	return 0;
}
