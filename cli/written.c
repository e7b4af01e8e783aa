#include "written.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "filtering.h"
#include "progress.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/program.h"
#include "proto/base/text.h"
#include "rows.h"
#include "view.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

int written_save(const struct dhat_snapshot *snapshot, const char *path,
		 const struct dhat_exporter *exporter, const struct dhat_export_options *options,
		 struct dhat_error *err)
{
	int r;

	progress_begin("writing", strcmp(path, "-") ? path : "the profile");
	r = dhat_save(snapshot, path, exporter, options, err);
	progress_end();
	return r;
}

static int print_json(const char *path, const struct dhat_snapshot *snapshot,
		      const struct dhat_filter *filter)
{
	struct json_object *object = json_object_new_object();
	int r = -ENOMEM;

	json_object_object_add(object, "file", dhat_json_string(path));
	if (dhat_json_add_fields(object, &snapshot->head->base) == 0 &&
	    json_object_object_add(object, "totals",
				   dhat_json_message(&snapshot->end->totals->base)) == 0 &&
	    json_object_object_add(object, "verdict",
				   dhat_json_message(&snapshot->end->verdict->base)) == 0 &&
	    json_object_object_add(object, "left_out", filtering_as_json(filter)) == 0)
		r = dhat_json_put(stdout, object);
	fputc('\n', stdout);
	json_object_put(object);
	return r;
}

/* The answer in short, and where the whole of it is. */
static int print(unsigned trim_rules, const char *path, const struct dhat_snapshot *snapshot,
		 const struct dhat_filter *filter)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *by_line = NULL;
	const struct dhat_table_options options = { .style.by = DHAT_BY_LINE,
						    .trim_rules = trim_rules };
	struct screen screen;
	uint64_t live_bytes = snapshot->end->totals->live_bytes;
	uint64_t live_blocks = snapshot->end->totals->live_blocks;
	size_t stacks = 0, length;
	char text[256];
	int r;

	r = dhat_table_new(snapshot, &options, &by_line);
	if (r < 0)
		return r;
	if (filter->count) /* totals are of the whole process */
		live_bytes = live_blocks = 0;
	for (size_t i = 0; i < snapshot->point_count; i++) {
		stacks += !*snapshot->points[i]->label;
		live_bytes += filter->count ? snapshot->points[i]->live_bytes : 0;
		live_blocks += filter->count ? snapshot->points[i]->live_blocks : 0;
	}
	screen_init(&screen, stdout);
	view_verdict(&screen, snapshot->end->verdict, "");
	view_target(&screen, snapshot->head->target);
	rows_headline(&screen, by_line);
	length = snprintf(text, sizeof(text), "%s live in %s, %s;", view_size(live_bytes),
			  view_counted(live_blocks, "block"), view_counted(stacks, "stack"));
	/* a path is not broken: somebody will copy it */
	if (screen.width &&
	    length + strlen(" written to ") + dhat_text_width(path) > screen.width) {
		screen_paragraph(&screen, 0, text);
		fputc(' ', stdout);
	} else {
		fputs(text, stdout);
	}
	fputs(" written to ", stdout);
	screen_text(&screen, path);
	fputc('\n', stdout);
	filtering_print(&screen, filter);
	return 0;
}

char *written_name(const struct dhat_snapshot *snapshot, const struct dhat_exporter *exporter)
{
	const Dhat__Target *target = snapshot->head->target;
	time_t seconds = snapshot->head->taken_unix_ns / 1000000000;
	char name[DHAT_PROGRAM_CHARS], moment[32], *path;
	struct tm tm;

	dhat_program_name(target->command, target->executable, name);
	for (char *at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && (at == name || !strchr("._-", *at)))
			*at = '_';
	localtime_r(&seconds, &tm);
	strftime(moment, sizeof(moment), "%Y%m%d-%H%M%S", &tm);
	if (asprintf(&path, "%s-%" PRIu32 "-%s%s", name, target->pid, moment, exporter->suffix) < 0)
		return NULL;
	/* two in one second: both stay */
	for (int i = 2; access(path, F_OK) == 0 && i < 100; i++) {
		free(path);
		if (asprintf(&path, "%s-%" PRIu32 "-%s-%d%s", name, target->pid, moment, i,
			     exporter->suffix) < 0)
			return NULL;
	}
	return path;
}

int written_report(const struct common *common, unsigned trim_rules, const char *path,
		   const struct dhat_snapshot *snapshot, const struct dhat_filter *filter,
		   struct dhat_error *err)
{
	int r;

	if (!strcmp(path, "-"))
		return 0;
	r = common->as_json ? print_json(path, snapshot, filter)
			    : print(trim_rules, path, snapshot, filter);
	return r < 0 ? dhat_error_errno(err, -r, "cannot print the result") : 0;
}
