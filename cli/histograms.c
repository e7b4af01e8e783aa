#include "histograms.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/units.h"
#include "view.h"

#define INDENT 6 /* as a row's lines */
#define RANGE_COLUMNS 24
#define COUNT_COLUMNS 13
#define BAR_COLUMNS 20
#define LEAST_BAR_COLUMNS 5

/* "512 ms to 1.0 s", "under 7.6 us", "24 d 6 h and more" */
static void format_age(uint32_t bucket, char *ret, size_t size)
{
	char from[DHAT_UNIT_CHARS], to[DHAT_UNIT_CHARS];

	if (bucket)
		dhat_format_duration(dhat_age_bound_ns(bucket - 1), from);
	if (bucket < DHAT_AGES - 1)
		dhat_format_duration(dhat_age_bound_ns(bucket), to);
	if (!bucket)
		snprintf(ret, size, "under %s", to);
	else if (bucket == DHAT_AGES - 1)
		snprintf(ret, size, "%s and more", from);
	else
		snprintf(ret, size, "%s to %s", from, to);
}

/* "1 byte", "17 to 32 bytes", "513 B to 1.0 KiB" */
static void format_bytes(uint32_t bucket, char *ret, size_t size)
{
	uint64_t from = bucket ? (1ull << (bucket - 1)) + 1 : 0, to = 1ull << bucket;
	char small[DHAT_UNIT_CHARS], large[DHAT_UNIT_CHARS];

	dhat_format_size(from - 1, small);
	dhat_format_size(to, large);
	if (bucket == DHAT_SIZES - 1)
		snprintf(ret, size, "over %s", small);
	else if (to == 1)
		snprintf(ret, size, "1 byte");
	else if (to == 2)
		snprintf(ret, size, "2 bytes");
	else if (to < 1024)
		snprintf(ret, size, "%u to %u bytes", (unsigned)from, (unsigned)to);
	else
		snprintf(ret, size, "over %s to %s", small, large);
}

static uint64_t sum_of(const uint64_t *counts, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += counts[i];
	return sum;
}

/* Of a narrow screen's columns what figures leave; 0: too few to tell one bar from another. */
static size_t room_for_bars(const struct screen *screen, size_t other_columns)
{
	if (!screen->width || screen->width >= other_columns + BAR_COLUMNS)
		return BAR_COLUMNS;
	return screen->width < other_columns + LEAST_BAR_COLUMNS ? 0
								 : screen->width - other_columns;
}

/* other_columns: before it. */
static void print_bar(struct screen *screen, uint64_t count, uint64_t sum, size_t other_columns)
{
	size_t room = room_for_bars(screen, other_columns + 2);
	int columns = (int)((double)count * (double)room / (double)sum + 0.5);

	if (columns)
		fputs("  ", screen->file);
	for (int i = 0; i < columns; i++)
		fputc('#', screen->file);
	fputc('\n', screen->file);
}

/* ---- ages ---------------------------------------------------------------------------------- */

/* Whether there is anything to show. */
static bool print_ages(struct screen *screen, const struct dhat_rendering *table,
		       const struct dhat_histograms *counts)
{
	const Dhat__SnapshotHead *head = table->snapshot->head;
	uint64_t sum = sum_of(counts->live_ages, DHAT_AGES);
	bool has_dead = head->lifetimes_since_ns;
	char range[96];

	if (!sum && (!has_dead || !sum_of(counts->dead_ages, DHAT_AGES)))
		return false;
	fprintf(screen->file, "%*s%-*s%*s", INDENT, "", RANGE_COLUMNS, "age", COUNT_COLUMNS,
		"live");
	if (has_dead)
		fprintf(screen->file, "%*s", COUNT_COLUMNS, "freed at it");
	fputc('\n', screen->file);
	for (uint32_t i = 0; i < DHAT_AGES; i++) {
		uint64_t dead = has_dead ? counts->dead_ages[i] : 0;

		if (!counts->live_ages[i] && !dead)
			continue;
		format_age(i, range, sizeof(range));
		fprintf(screen->file, "%*s%-*s%*s", INDENT, "", RANGE_COLUMNS, range, COUNT_COLUMNS,
			view_count(counts->live_ages[i]));
		if (has_dead)
			fprintf(screen->file, "%*s", COUNT_COLUMNS, view_count(dead));
		print_bar(screen, counts->live_ages[i], sum ? sum : 1,
			  INDENT + RANGE_COLUMNS + (has_dead ? 2 : 1) * COUNT_COLUMNS);
	}
	return true;
}

void histograms_print_ages(struct screen *screen, const struct dhat_rendering *table,
			   const struct dhat_rendered_point *point)
{
	if (point->histograms)
		print_ages(screen, table, point->histograms);
}

/* ---- sizes --------------------------------------------------------------------------------- */

/* The same. */
static bool print_sizes(struct screen *screen, const struct dhat_histograms *counts)
{
	uint64_t sum = sum_of(counts->live_sizes, DHAT_SIZES);
	char range[96];

	if (!sum)
		return false;
	fprintf(screen->file, "%*s%-*s%*s\n", INDENT, "", RANGE_COLUMNS, "size", COUNT_COLUMNS,
		"live");
	for (uint32_t i = 0; i < DHAT_SIZES; i++) {
		if (!counts->live_sizes[i])
			continue;
		format_bytes(i, range, sizeof(range));
		fprintf(screen->file, "%*s%-*s%*s", INDENT, "", RANGE_COLUMNS, range, COUNT_COLUMNS,
			view_count(counts->live_sizes[i]));
		print_bar(screen, counts->live_sizes[i], sum,
			  INDENT + RANGE_COLUMNS + COUNT_COLUMNS);
	}
	return true;
}

/* "size classes add 1.2 MiB (12.3%)" */
static void format_slack(uint64_t slack_bytes, uint64_t live_bytes, char *ret, size_t size)
{
	char slack[DHAT_UNIT_CHARS];

	snprintf(ret, size, "size classes add %s (%.1f%%)", dhat_format_size(slack_bytes, slack),
		 live_bytes ? 100.0 * slack_bytes / live_bytes : 0);
}

void histograms_print_sizes(struct screen *screen, const struct dhat_rendering *table,
			    const struct dhat_rendered_point *point)
{
	char text[96];

	if (!point->histograms || !print_sizes(screen, point->histograms) ||
	    !*table->snapshot->head->size_classes)
		return;
	format_slack(point->histograms->slack_bytes, point->live_bytes, text, sizeof(text));
	fprintf(screen->file, "%*s%s\n", INDENT, "", text);
}

/* ---- all ----------------------------------------------------------------------------------- */

static void print_none(struct screen *screen)
{
	fprintf(screen->file, "%*snone\n", INDENT, "");
}

static struct dhat_histograms all_of(const struct dhat_rendering *table)
{
	struct dhat_histograms sum = { 0 };

	for (size_t i = 0; i < table->point_count; i++)
		if (table->points[i]->histograms && !dhat_point_is_before(table->points[i]->part))
			dhat_histograms_add(&sum, table->points[i]->histograms);
	return sum;
}

void histograms_print_all_ages(struct screen *screen, const struct dhat_rendering *table)
{
	const Dhat__SnapshotHead *head = table->snapshot->head;
	struct dhat_histograms all = all_of(table);
	char text[160] = "Live blocks by age:";

	if (head->lifetimes_since_ns == 1)
		snprintf(text, sizeof(text),
			 "Live blocks by age, and all those freed by the age that they had:");
	else if (head->lifetimes_since_ns)
		snprintf(text, sizeof(text),
			 "Live blocks by age, and those freed since %s by the age that they had:",
			 view_moment(head->target->observed_since_unix_ns +
				     head->lifetimes_since_ns));
	fputc('\n', screen->file);
	screen_paragraph(screen, 0, text);
	if (!print_ages(screen, table, &all))
		print_none(screen);
}

/* What size classes waste: more than was asked for is given, and nobody uses it. */
static void print_slack(struct screen *screen, const struct dhat_rendering *table,
			const struct dhat_histograms *all)
{
	const Dhat__SnapshotHead *head = table->snapshot->head;
	uint64_t live_bytes = 0;
	char slack[96], text[256];

	for (size_t i = 0; i < table->point_count; i++)
		if (!dhat_point_is_before(table->points[i]->part))
			live_bytes += table->points[i]->live_bytes;
	format_slack(all->slack_bytes, live_bytes, slack, sizeof(slack));
	fputs("      ", screen->file);
	if (*head->size_classes)
		snprintf(text, sizeof(text), "%s's %s to what was asked for", head->size_classes,
			 slack);
	else
		snprintf(text, sizeof(text),
			 "what size classes add is not known: those of glibc and jemalloc are, "
			 "where a process has no other allocator");
	screen_paragraph(screen, 6, text);
}

void histograms_print_all_sizes(struct screen *screen, const struct dhat_rendering *table)
{
	struct dhat_histograms all = all_of(table);

	fputs("\nLive blocks by size:\n", screen->file);
	if (!print_sizes(screen, &all))
		print_none(screen);
	else
		print_slack(screen, table, &all);
}

/* ---- for programs -------------------------------------------------------------------------- */

static struct json_object *as_json(const uint64_t *counts, size_t count)
{
	struct json_object *array = json_object_new_array();

	while (count && !counts[count - 1])
		count--;
	for (size_t i = 0; i < count; i++)
		json_object_array_add(array, json_object_new_uint64(counts[i]));
	return array;
}

void histograms_add_json(struct json_object *object, const struct dhat_rendered_point *point)
{
	static const struct dhat_histograms none;
	const struct dhat_histograms *counts = point->histograms ? point->histograms : &none;

	json_object_object_add(object, "live_ages", as_json(counts->live_ages, DHAT_AGES));
	json_object_object_add(object, "dead_ages", as_json(counts->dead_ages, DHAT_AGES));
	json_object_object_add(object, "live_sizes", as_json(counts->live_sizes, DHAT_SIZES));
	json_object_object_add(object, "slack_bytes", json_object_new_uint64(counts->slack_bytes));
}
