#include "stack_series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/profile/digest.h"

DEFINE_CLEANUP_PTR(struct dhat_digest *, dhat_digest_free)

static void series_deinit(struct stack_series_list *series)
{
	stack_series_deinit(series);
}

/* ---- names --------------------------------------------------------------------------------- */

/* Whole characters of the first so many bytes. */
static void put_cut(FILE *file, const char *text, size_t length)
{
	size_t used = 0, next;

	while (used < length && used < STACK_SERIES_CHARS) {
		next = dhat_text_character(text + used) ?: 1;
		fwrite(text + used, 1, next, file);
		used += next;
	}
	if (used < length)
		fputs("…", file);
}

/* "FUNCTION (FILE)" in two; a name without a file is all function. */
static void split(const char *name, size_t *ret_function, const char **ret_file, size_t *ret_size)
{
	size_t length = strlen(name);
	const char *open = length && name[length - 1] == ')' ? strrchr(name, '(') : NULL;

	*ret_function = length;
	*ret_file = "";
	*ret_size = 0;
	if (!open || open < name + 2 || open[-1] != ' ')
		return;
	*ret_function = open - 1 - name;
	*ret_file = open + 1;
	*ret_size = name + length - 1 - (open + 1);
}

static void put_name(FILE *file, const struct dhat_digest_row *row)
{
	const char *last = "";
	size_t last_size = 0;

	for (size_t i = 0; i < row->name_count && i < STACK_SERIES_FUNCTIONS; i++) {
		const char *source;
		size_t function, size;

		split(row->names[i], &function, &source, &size);
		fputs(i ? " < " : "", file);
		put_cut(file, row->names[i], function);
		if (!size || (size == last_size && !memcmp(source, last, size)))
			continue;
		fputs(" (", file);
		put_cut(file, source, size);
		fputc(')', file);
		last = source;
		last_size = size;
	}
}

static char *name_of(const struct dhat_digest_row *row)
{
	_cleanup_free_ char *name = NULL;
	size_t size;
	FILE *file = open_memstream(&name, &size);

	if (!file)
		return NULL;
	put_name(file, row);
	return fclose(file) ? NULL : take_ptr(name);
}

/* ---- what reads the same is one ------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct stack_series *)a)->name,
		      ((const struct stack_series *)b)->name);
}

static int take_rows(const struct dhat_digest *digest, struct stack_series_list *series)
{
	for (size_t i = 0; i < digest->row_count; i++) {
		const struct dhat_digest_row *row = &digest->rows[i];
		struct stack_series *stack = &series->list[series->count];

		*stack = (struct stack_series){
			.name = name_of(row),
			.live_bytes = row->figures[DHAT_LIVE_BYTES],
			.live_blocks = row->figures[DHAT_LIVE_BLOCKS],
			.total_bytes = row->figures[DHAT_TOTAL_BYTES],
			.total_blocks = row->figures[DHAT_TOTAL_BLOCKS],
			.evidence = row->evidence,
			.growth = row->point->growth / 60,
			.has_totals = true,
		};
		if (!stack->name)
			return -ENOMEM;
		series->count++;
		series->growth += stack->growth;
	}
	return 0;
}

static void merge_equal(struct stack_series_list *series)
{
	size_t kept = 0;

	qsort(series->list, series->count, sizeof(*series->list), compare_names);
	for (size_t i = 1; i < series->count; i++) {
		struct stack_series *last = &series->list[kept], *stack = &series->list[i];

		if (strcmp(last->name, stack->name) != 0) {
			series->list[++kept] = *stack;
			continue;
		}
		last->live_bytes += stack->live_bytes;
		last->live_blocks += stack->live_blocks;
		last->total_bytes += stack->total_bytes;
		last->total_blocks += stack->total_blocks;
		last->growth += stack->growth;
		dhat_evidence_add(&last->evidence, &stack->evidence);
		free(stack->name);
	}
	series->count = series->count ? kept + 1 : 0;
}

/* ---- which --------------------------------------------------------------------------------- */

static int compare_live(const void *a_, const void *b_)
{
	const struct stack_series *a = a_, *b = b_;

	if (a->live_bytes != b->live_bytes)
		return a->live_bytes < b->live_bytes ? 1 : -1;
	return strcmp(a->name, b->name);
}

static int compare_growth(const void *a_, const void *b_)
{
	const struct stack_series *a = a_, *b = b_;

	if (a->growth != b->growth)
		return a->growth < b->growth ? 1 : -1;
	return compare_live(a, b);
}

/* Those that get a series come first; how many they are. */
static size_t choose(struct stack_series_list *series)
{
	size_t shown;

	qsort(series->list, series->count, sizeof(*series->list), compare_live);
	if (series->count <= STACK_SERIES_LIVE)
		return series->count;
	qsort(series->list + STACK_SERIES_LIVE, series->count - STACK_SERIES_LIVE,
	      sizeof(*series->list), compare_growth);
	for (shown = STACK_SERIES_LIVE; shown < series->count; shown++)
		if (shown == STACK_SERIES_LIVE + STACK_SERIES_GROWING ||
		    series->list[shown].growth <= 0)
			break;
	return shown;
}

static uint64_t less(uint64_t all, uint64_t part)
{
	return part < all ? all - part : 0;
}

/* What is not shown goes, and what it had is one series more, but for what no series shall have. */
static int sum_others(struct stack_series_list *series, size_t shown,
		      const struct dhat_snapshot *snapshot, const Dhat__ProgramPoint *unshown)
{
	struct stack_series others = {
		.live_bytes = less(snapshot->end->totals->live_bytes, unshown->live_bytes),
		.live_blocks = less(snapshot->end->totals->live_blocks, unshown->live_blocks),
	};

	for (size_t i = 0; i < series->count; i++) {
		struct stack_series *stack = &series->list[i];

		if (i < shown) {
			others.live_bytes = less(others.live_bytes, stack->live_bytes);
			others.live_blocks = less(others.live_blocks, stack->live_blocks);
			continue;
		}
		others.growth += stack->growth;
		free(stack->name);
	}
	series->count = shown;
	others.name = strdup(STACK_SERIES_OTHERS);
	if (!others.name)
		return -ENOMEM;
	series->list[series->count++] = others;
	return 0;
}

/* Behind those that were chosen, so that it takes no place of theirs. */
static int add_before(struct stack_series_list *series, size_t *shown,
		      const Dhat__ProgramPoint *before)
{
	struct stack_series stack = { 0 };

	if (!before->live_blocks)
		return 0;
	stack.name = strdup(DHAT_LABEL_BEFORE);
	if (!stack.name)
		return -ENOMEM;
	stack.live_bytes = before->live_bytes;
	stack.live_blocks = before->live_blocks;
	memmove(series->list + *shown + 1, series->list + *shown,
		(series->count - *shown) * sizeof(*series->list));
	series->list[(*shown)++] = stack;
	series->count++;
	return 0;
}

/* Keeps M1 and M2. */
static int add_rest(struct stack_series_list *series, const struct dhat_snapshot *snapshot)
{
	static const Dhat__ProgramPoint nothing = DHAT__PROGRAM_POINT__INIT;
	size_t shown = choose(series);
	Dhat__ProgramPoint before;
	int r = 0;

	dhat_snapshot_before(snapshot, &before);
	if (snapshot->end->totals->is_listing)
		return sum_others(series, shown, snapshot, &before);
	r = add_before(series, &shown, &before);
	return r ? r : sum_others(series, shown, snapshot, &nothing);
}

int stack_series_of(const struct dhat_snapshot *snapshot, struct stack_series_list *ret)
{
	_cleanup_(dhat_digest_free_ptr) struct dhat_digest *digest = NULL;
	_cleanup_(series_deinit) struct stack_series_list series = { 0 };
	struct dhat_filter all = { 0 };
	int r = dhat_digest_of(snapshot, &all, &digest);

	if (r < 0)
		return r;
	/* and two more: from before, and all others */
	series.list = calloc(digest->row_count + 2, sizeof(*series.list));
	if (!series.list)
		return -ENOMEM;
	r = take_rows(digest, &series);
	if (r < 0)
		return r;
	merge_equal(&series);
	for (size_t i = 0; i < series.count; i++)
		series.list[i].live =
			dhat_interval_of(snapshot->head->sample_bytes, &series.list[i].evidence,
					 DHAT_ESTIMATED_LIVE, series.list[i].live_bytes);
	r = add_rest(&series, snapshot);
	if (r < 0)
		return r;
	*ret = series;
	series = (struct stack_series_list){ 0 };
	return 0;
}

void stack_series_deinit(struct stack_series_list *series)
{
	for (size_t i = 0; i < series->count; i++)
		free(series->list[i].name);
	free(series->list);
	*series = (struct stack_series_list){ 0 };
}
