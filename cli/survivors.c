#include "survivors.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "view.h"

#define INDENT 6 /* as a row's lines */
#define MARK_COLUMNS 24
#define COUNT_COLUMNS 13

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* What has outlived so many marks was there before one of them, and came after the one before. */
static struct dhat_born outlived(const Dhat__ProgramPoint *point, size_t marks, size_t count)
{
	const size_t first = marks - count; /* it came after so many */
	struct dhat_born all = { point->live_bytes, point->live_blocks }, later = { 0 };

	if (first)
		all = dhat_point_born(point, &(struct dhat_births){ .since = first });
	if (count)
		later = dhat_point_born(point, &(struct dhat_births){ .since = first + 1 });
	return (struct dhat_born){ less(all.bytes, later.bytes), less(all.blocks, later.blocks) };
}

static struct dhat_born *figures_of(const struct survivors *survivors,
				    const struct dhat_rendered_point *point)
{
	return survivors->figures + point->number * (survivors->marks + 1);
}

int survivors_count(const struct dhat_rendering *table, struct survivors *ret)
{
	const struct dhat_snapshot *snapshot = table->snapshot;
	size_t marks = snapshot->head->n_marks;

	*ret = (struct survivors){ .table = table, .marks = marks };
	if (!marks)
		return 0;
	ret->figures = calloc((table->point_count + 1) * (marks + 1), sizeof(*ret->figures));
	if (!ret->figures)
		return -ENOMEM;
	for (size_t i = 0; i < snapshot->point_count; i++) {
		const struct dhat_rendered_point *row = table->point_of[i];

		for (size_t count = 0; row && count <= marks; count++) {
			struct dhat_born more = outlived(snapshot->points[i], marks, count);
			struct dhat_born *sum = &figures_of(ret, row)[count];

			sum->bytes += more.bytes;
			sum->blocks += more.blocks;
		}
	}
	return 0;
}

void survivors_deinit(struct survivors *survivors)
{
	free(survivors->figures);
	*survivors = (struct survivors){ 0 };
}

/* "2: before early", "0: since late" */
static void print_marks(struct screen *screen, const struct survivors *survivors, size_t count)
{
	const Dhat__SnapshotHead *head = survivors->table->snapshot->head;
	size_t number = count ? survivors->marks - count : survivors->marks - 1;
	_cleanup_free_ char *name = dhat_text_clean(head->marks[number]->name), *text = NULL;

	if (!name || asprintf(&text, "%zu: %s %s", count, count ? "before" : "since", name) < 0) {
		text = NULL;
		return;
	}
	fprintf(screen->file, "%*s", INDENT, "");
	screen_column(screen, text, MARK_COLUMNS);
}

void survivors_print(struct screen *screen, const struct survivors *survivors,
		     const struct dhat_rendered_point *point)
{
	const struct dhat_born *figures;
	char size[DHAT_UNIT_CHARS];

	if (!survivors->figures || !point->live_blocks)
		return;
	figures = figures_of(survivors, point);
	fprintf(screen->file, "%*s%-*s%*s%*s\n", INDENT, "", MARK_COLUMNS, "marks outlived",
		COUNT_COLUMNS, "live", COUNT_COLUMNS, "bytes");
	for (size_t count = survivors->marks + 1; count-- > 0;) {
		if (!figures[count].blocks)
			continue;
		print_marks(screen, survivors, count);
		fprintf(screen->file, "%*s%*s\n", COUNT_COLUMNS, view_count(figures[count].blocks),
			COUNT_COLUMNS, dhat_format_size(figures[count].bytes, size));
	}
}

void survivors_add_json(struct json_object *object, const struct survivors *survivors,
			const struct dhat_rendered_point *point)
{
	struct json_object *bytes = json_object_new_array(), *blocks = json_object_new_array();

	for (size_t i = 0; survivors->figures && i <= survivors->marks; i++) {
		const struct dhat_born *figures = &figures_of(survivors, point)[i];

		json_object_array_add(bytes, json_object_new_uint64(figures->bytes));
		json_object_array_add(blocks, json_object_new_uint64(figures->blocks));
	}
	json_object_object_add(object, "survived_bytes", bytes);
	json_object_object_add(object, "survived_blocks", blocks);
}
