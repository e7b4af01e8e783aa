#include "report.h"

#include <errno.h>
#include <string.h>

#include "histograms.h"
#include "names_hint.h"
#include "pages.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/export/intervals.h"
#include "survivors.h"
#include "suspicion.h"
#include "view.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

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

static void add_born(struct json_object *object, const struct dhat_born *born)
{
	json_object_object_add(object, "born_bytes", json_object_new_uint64(born->bytes));
	json_object_object_add(object, "born_blocks", json_object_new_uint64(born->blocks));
}

static struct json_object *lows_as_json(const struct dhat_snapshot *snapshot,
					const struct dhat_rendered_point *point)
{
	struct json_object *array = json_object_new_array();

	for (uint32_t i = 0; array && i < dhat_history_slots(snapshot); i++)
		json_object_array_add(array, json_object_new_uint64(point->lows[i]));
	return array;
}

/* null is not 0: the file it was read from does not say. */
static void forget_times(struct json_object *object, const struct dhat_snapshot *snapshot)
{
	static const char *const keys[] = { "first_ns", "last_ns", "longest_freed_us",
					    "mean_age_us", "growth_bytes_per_minute" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		json_object_object_add(object, keys[i], NULL);
	json_object_object_add(object, "temporary_blocks", NULL);
	if (!snapshot->end->totals->end_ns)
		json_object_object_add(object, "lifetimes_us", NULL);
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
		{ "temporary_blocks", point->temporary_blocks },
		{ "longest_freed_us", point->longest_freed_us },
		{ "mean_age_us", dhat_rendered_mean_age_us(point) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		json_object_object_add(object, figures[i].name,
				       json_object_new_uint64(figures[i].value));
	json_object_object_add(object, "growth_bytes_per_minute",
			       json_object_new_double(point->growth));
	intervals_add_point_json(object, snapshot, point);
	if (snapshot->head->sample_bytes)
		json_object_object_add(object, "temporary_blocks", NULL);
	if (snapshot->lacks)
		forget_times(object, snapshot);
	json_object_object_add(object, "low_bytes", lows_as_json(snapshot, point));
	json_object_object_add(object, "max_is_known",
			       json_object_new_boolean(dhat_rendered_max_is_known(point)));
}

static struct json_object *point_as_json(const struct dhat_rendering *table,
					 const struct dhat_rendered_point *point,
					 bool with_histograms, const struct survivors *survivors,
					 const struct held_rows *held)
{
	struct json_object *object = json_object_new_object();
	_cleanup_free_ char *name = NULL;
	const char *place;

	add_numbers(object, table->snapshot, point);
	if (dhat_has_births(&table->births))
		add_born(object, &point->born);
	if (with_histograms)
		histograms_add_json(object, point);
	if (survivors->figures)
		survivors_add_json(object, survivors, point);
	if (table->snapshot->head->has_pages)
		pages_add_json(object, &point->pages);
	held_add_json(object, held, point);
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

static bool has_histograms(const struct report *report)
{
	return report->has_ages || report->has_sizes;
}

static enum ranking_key key_of(const struct report *report)
{
	return report->since || report->older_ns ? RANK_BY_BORN : report->rows.key;
}

static int print_json(const struct report *report, struct dhat_rendering *table,
		      const struct survivors *survivors, const struct held_rows *held)
{
	const struct dhat_snapshot *snapshot = table->snapshot;
	struct json_object *object = json_object_new_object(), *points = json_object_new_array();
	size_t count = ranking_sort(table, key_of(report));
	int r = -ENOMEM;

	if (count > report->list.top)
		count = report->list.top;
	for (size_t i = 0; i < count; i++)
		json_object_array_add(points,
				      point_as_json(table, table->points[i], has_histograms(report),
						    survivors, held));
	if (dhat_json_add_fields(object, &snapshot->head->base) == 0 &&
	    dhat_json_add_fields(object, &snapshot->end->base) == 0 &&
	    json_object_object_add(object, "pids", pids_as_json(snapshot)) == 0 &&
	    json_object_object_add(object, "before_attach", before_as_json(snapshot)) == 0 &&
	    json_object_object_add(object, "left_out", filtering_as_json(report->filter)) == 0 &&
	    json_object_object_add(object, "by",
				   json_object_new_string(dhat_by_name(table->style.by))) == 0 &&
	    json_object_object_add(object, "points", points) == 0)
		r = 0;
	if (r == 0)
		intervals_add_totals_json(object, snapshot);
	if (r == 0 && snapshot->lacks)
		r = json_object_object_add(object, "lacks", dhat_json_string(snapshot->lacks));
	if (r == 0 && dhat_has_births(&table->births))
		r = json_object_object_add(object, "births",
					   births_as_json(snapshot, &table->births));
	if (r == 0)
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

/* What is meant by it, and how many there are in all. */
static void print_temporary(struct screen *screen, const struct dhat_rendering *table)
{
	uint64_t temporary = 0, total = table->snapshot->end->totals->total_blocks;
	char text[320];

	for (size_t i = 0; i < table->snapshot->point_count; i++)
		temporary += table->snapshot->points[i]->temporary_blocks;
	snprintf(text, sizeof(text),
		 "%s of %s %s temporary (%.1f%%): freed within a second by the thread that had "
		 "allocated it, before it allocated anything else",
		 view_count(temporary), view_counted(total, "block"),
		 temporary == 1 ? "was" : "were", total ? 100.0 * temporary / total : 0);
	fputc('\n', screen->file);
	screen_paragraph(screen, 0, text);
}

static void print(const struct report *report, struct dhat_rendering *table,
		  struct dhat_rendering *by_line, const struct survivors *survivors,
		  const struct held_rows *held)
{
	const struct dhat_snapshot *snapshot = table->snapshot;
	const struct rows_options rows = { .key = key_of(report),
					   .top = report->rows.top,
					   .has_ages = report->has_ages,
					   .has_sizes = report->has_sizes,
					   .survivors = survivors,
					   .held = held,
					   .has_pages = report->has_pages };
	struct screen screen;

	screen_init(&screen, stdout);
	view_verdict(&screen, snapshot->end->verdict, "");
	view_targets(&screen, "", snapshot);
	view_timeline(&screen, snapshot);
	fputc('\n', stdout);
	rows_headline(&screen, by_line);
	fputc('\n', stdout);
	if (dhat_has_births(&table->births))
		births_print(&screen, snapshot, &table->births);
	else
		view_totals(&screen, snapshot);
	held_print_all(&screen, snapshot);
	if (rows.key == RANK_BY_TEMPORARY)
		print_temporary(&screen, table);
	if (report->has_ages)
		histograms_print_all_ages(&screen, table);
	if (report->has_sizes)
		histograms_print_all_sizes(&screen, table);
	rows_print(&screen, table, &rows);
	filtering_print(&screen, report->filter);
	print_notes(&screen, snapshot->end);
	if (rows.key == RANK_BY_LIVE && report->list.top) {
		rows_hint(&screen, table, by_line);
		if (!snapshot->lacks)
			suspicion_hint(&screen, by_line);
	}
	if (report->has_ages && !snapshot->head->lifetimes_since_ns)
		fputs("\nHint: how long freed blocks had lived is counted from the first "
		      "`dhatctl mark' on, or by `dhatd attach --lifetimes' from the start\n",
		      stdout);
	if (!report->without_names && !snapshot->lacks)
		names_hint(&screen, table, &rows);
}

/* ---- both ---------------------------------------------------------------------------------- */

static int print_profile(const struct report *report, const struct dhat_snapshot *snapshot,
			 const struct dhat_births *births)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *table = NULL, *by_line = NULL;
	_cleanup_(survivors_deinit) struct survivors survivors = { 0 };
	_cleanup_(held_rows_deinit) struct held_rows held = { 0 };
	_cleanup_free_ bool *is_shown = calloc(snapshot->point_count + 1, sizeof(*is_shown));
	struct dhat_table_options wanted = { .style = report->list.style,
					     .trim_rules = report->trim_rules,
					     .depth = report->list.depth,
					     .is_shown = is_shown,
					     .births = *births,
					     .has_histograms = has_histograms(report) };
	int r;

	r = is_shown ? dhat_filter_apply(report->filter, snapshot, is_shown) : -ENOMEM;
	if (r == 0 && report->as_json) {
		/* programs want all there is, and can put it together themselves */
		wanted.style.has_whole_names = true;
		wanted.style.has_addresses |=
			report->list.style.by == DHAT_BY_STACK && !report->list.has_depth;
		wanted.depth = report->list.has_depth ? report->list.depth : 0;
	}
	if (r == 0)
		r = dhat_table_new(snapshot, &wanted, &table);
	if (r == 0 && (report->has_ages || report->rows.key == RANK_BY_SURVIVAL))
		r = survivors_count(table, &survivors);
	if (r == 0)
		r = held_rows_make(table, &held);
	if (r == 0 && report->as_json)
		return print_json(report, table, &survivors, &held);
	wanted.style.by = DHAT_BY_LINE;
	if (r == 0)
		r = dhat_table_new(snapshot, &wanted, &by_line);
	if (r == 0)
		print(report, table, by_line, &survivors, &held);
	return r;
}

int report_find_births(const struct report *report, const struct dhat_snapshot *snapshot,
		       struct dhat_births *ret, struct dhat_error *err)
{
	*ret = (struct dhat_births){ 0 };
	if (report->since)
		return births_find(snapshot, report->since, report->before, ret, err);
	if (report->older_ns)
		return births_find_older(snapshot, report->older_ns, ret, err);
	if (has_histograms(report) && !snapshot->head->has_ages)
		return births_find_older(snapshot, 0, ret, err); /* which says so */
	return 0;
}

/* Some files name the source in an object's place. */
static bool has_objects(const struct dhat_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->frame_count; i++) {
		const Dhat__Frame *frame = snapshot->frames[i];

		if (!*frame->object && frame->n_locations && *frame->locations[0]->file)
			return false;
	}
	return true;
}

/* What is asked for that the file a profile was read from never has; NULL: nothing. */
static const char *lacking(const struct report *report, const struct dhat_snapshot *snapshot)
{
	if (report->list.style.by == DHAT_BY_OBJECT && !has_objects(snapshot))
		return "objects are";
	if (report->list.style.by == DHAT_BY_THREAD)
		return "threads are";
	if (report->rows.key == RANK_BY_GROWTH)
		return "growth is";
	if (report->rows.key == RANK_BY_AGE)
		return "ages are";
	if (report->rows.key == RANK_BY_TEMPORARY)
		return "temporary blocks are";
	return report->older_ns || has_histograms(report) ? "ages and sizes are" : NULL;
}

int report_check(const struct report *report, const struct dhat_snapshot *snapshot,
		 struct dhat_error *err)
{
	const char *what = snapshot->lacks ? lacking(report, snapshot) : NULL;
	struct dhat_births unused;

	if (what)
		return dhat_error_set(err, ENODATA, DHAT_EXIT_BAD_FILE,
				      "%s not known of a profile that was %s", what,
				      snapshot->lacks);
	if (report->rows.key == RANK_BY_TEMPORARY && snapshot->head->sample_bytes)
		return dhat_error_set(err, ENODATA, DHAT_EXIT_INEXACT,
				      "temporary blocks are not known of a sample: it does not "
				      "have what their threads were handed meanwhile");
	if (report->rows.key == RANK_BY_TEMPORARY && !snapshot->head->temporary_ns)
		return dhat_error_set(err, ENODATA, DHAT_EXIT_BAD_FILE,
				      "temporary blocks are not known of this profile: the dhatd "
				      "that made it was older, or of several one was");
	if (report->has_pages && pages_check(snapshot, report->path, err) < 0)
		return -ENODATA;
	return report_find_births(report, snapshot, &unused, err);
}

int report_print(const struct report *report, const struct dhat_snapshot *snapshot,
		 struct dhat_error *err)
{
	struct dhat_births births;
	int r = report_find_births(report, snapshot, &births, err);

	if (r < 0)
		return r;
	r = print_profile(report, snapshot, &births);
	return r < 0 ? dhat_error_errno(err, -r, "cannot sort and print the stacks") : 0;
}
