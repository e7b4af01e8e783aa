#include "born_file.h"

#include <string.h>

#include "proto/profile/born.h"
#include "view.h"
#include "written.h"

static void print(const struct dhat_snapshot *snapshot, const char *when, const char *path)
{
	const Dhat__Totals *totals = snapshot->end->totals;
	struct screen screen;

	screen_init(&screen, stdout);
	fprintf(screen.file, "\nAllocated %s: %s in %s, ", when, view_size(totals->live_bytes),
		view_counted(totals->live_blocks, "block"));
	fprintf(screen.file, "%s; written to ", view_counted(snapshot->point_count, "stack"));
	screen_text(&screen, path);
	fputc('\n', screen.file);
}

static int write_file(const struct report *report, struct dhat_snapshot *snapshot,
		      const struct comparing_file *file, struct dhat_error *err)
{
	const struct dhat_export_options export = { .trim_rules = report->trim_rules,
						    .metric = file->metric };
	char when[BIRTHS_CHARS];
	struct dhat_births births;
	int r = report_find_births(report, snapshot, &births, err);

	if (r < 0)
		return r;
	births_name(snapshot, &births, when);
	r = dhat_keep_born(snapshot, &births, when);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot put together what was allocated %s", when);
	r = filtering_reduce(report->filter, file->path, file->exporter, snapshot, err);
	if (r == 0)
		r = written_save(snapshot, file->path, file->exporter, &export, err);
	if (r == 0 && strcmp(file->path, "-") && !report->as_json)
		print(snapshot, when, file->path);
	return r;
}

int born_file_print(const struct report *report, struct dhat_snapshot *snapshot,
		    const struct comparing_file *file, struct dhat_error *err)
{
	int r = 0;

	if (!file || strcmp(file->path, "-")) {
		r = report_print(report, snapshot, err);
		fputs(r == 0 && report->as_json ? "\n" : "", stdout);
	}
	return r < 0 || !file ? r : write_file(report, snapshot, file, err);
}
