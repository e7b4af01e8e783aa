#include "filter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "pattern.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define MAX_LINE_BYTES 65536 /* no name is longer */

void dhat_filter_deinit(struct dhat_filter *filter)
{
	for (size_t i = 0; i < filter->count; i++)
		free(filter->rules[i].pattern);
	free(filter->rules);
}

int dhat_filter_add(struct dhat_filter *filter, enum dhat_filter_kind kind, const char *pattern)
{
	char *copy = strdup(pattern);

	if (!copy || array_make_room(&filter->rules, &filter->room, filter->count)) {
		free(copy);
		return -ENOMEM;
	}
	filter->rules[filter->count++] = (struct dhat_filter_rule){ .pattern = copy, .kind = kind };
	return 0;
}

/* One line, without its end. */
static int add_line(struct dhat_filter *filter, const char *path, size_t number, char *line,
		    struct dhat_error *err)
{
	char *end;

	line += strspn(line, " \t");
	end = line + strlen(line);
	while (end > line && strchr(" \t\r\n", end[-1]))
		*--end = 0;
	if (!*line || *line == '#')
		return 0;
	if (strncmp(line, "leak:", 5) || !line[5])
		return dhat_error_set(err, EINVAL, DHAT_EXIT_BAD_FILE,
				      "%s:%zu: not a suppression: a line is `leak:PATTERN', or "
				      "begins with #",
				      path, number);
	return dhat_filter_add(filter, DHAT_FILTER_SUPPRESSION, line + 5) < 0
		       ? dhat_error_errno(err, ENOMEM, "cannot read %s", path)
		       : 0;
}

int dhat_filter_add_suppressions(struct dhat_filter *filter, const char *path,
				 struct dhat_error *err)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0, number = 0;
	int r = 0;

	if (!file)
		return dhat_error_set(err, errno, DHAT_EXIT_BAD_FILE, "cannot read %s: %s", path,
				      strerror(errno));
	while (r == 0 && getline(&line, &size, file) >= 0)
		r = add_line(filter, path, ++number, line, err);
	if (r == 0 && ferror(file))
		return dhat_error_set(err, EIO, DHAT_EXIT_BAD_FILE, "cannot read %s: %s", path,
				      strerror(errno));
	return r;
}

static bool location_matches(const char *pattern, const Dhat__Location *location)
{
	return dhat_pattern_matches(pattern, location->function) ||
	       (*location->linkage_name && dhat_pattern_matches(pattern, location->linkage_name)) ||
	       (*location->file && dhat_pattern_matches(pattern, location->file));
}

static bool frame_matches(const char *pattern, const Dhat__Frame *frame)
{
	if (*frame->object && dhat_pattern_matches(pattern, frame->object))
		return true;
	for (size_t i = 0; i < frame->n_locations; i++)
		if (location_matches(pattern, frame->locations[i]))
			return true;
	return false;
}

/* known: of each frame, whether it matches: 0 not asked yet, 1 no, 2 yes; many points share one. */
static bool point_matches(const char *pattern, const struct dhat_snapshot *snapshot,
			  const Dhat__ProgramPoint *point, uint8_t *known)
{
	for (size_t i = 0; i < point->n_frames; i++) {
		uint8_t *frame = &known[point->frames[i] - 1];

		if (!*frame)
			*frame = 1 + frame_matches(pattern, snapshot->frames[point->frames[i] - 1]);
		if (*frame == 2)
			return true;
	}
	return false;
}

static void add_up(struct dhat_filter_rule *rule, const Dhat__ProgramPoint *point)
{
	rule->live_bytes += point->live_bytes;
	rule->live_blocks += point->live_blocks;
	rule->total_bytes += point->total_bytes;
	rule->total_blocks += point->total_blocks;
	rule->stack_count++;
}

/* One rule over all points: an ONLY rule marks what it lets in, the others take marks away. */
static void apply_rule(struct dhat_filter_rule *rule, const struct dhat_snapshot *snapshot,
		       uint8_t *known, bool *is_shown)
{
	bool lets_in = rule->kind == DHAT_FILTER_ONLY;

	memset(known, 0, snapshot->frame_count);
	for (size_t i = 0; i < snapshot->point_count; i++) {
		const Dhat__ProgramPoint *point = snapshot->points[i];

		if (is_shown[i] == lets_in || dhat_point_is_before(point) ||
		    !point_matches(rule->pattern, snapshot, point, known))
			continue;
		is_shown[i] = lets_in;
		add_up(rule, point);
	}
}

static bool has_only_rules(const struct dhat_filter *filter)
{
	for (size_t i = 0; i < filter->count; i++)
		if (filter->rules[i].kind == DHAT_FILTER_ONLY)
			return true;
	return false;
}

int dhat_filter_apply(struct dhat_filter *filter, const struct dhat_snapshot *snapshot,
		      bool *is_shown)
{
	_cleanup_free_ uint8_t *known = calloc(snapshot->frame_count + 1, 1);
	bool has_only = has_only_rules(filter);

	if (!known)
		return -ENOMEM;
	filter->others = (struct dhat_filter_rule){ 0 };
	for (size_t i = 0; i < filter->count; i++)
		filter->rules[i] = (struct dhat_filter_rule){ .pattern = filter->rules[i].pattern,
							      .kind = filter->rules[i].kind };
	for (size_t i = 0; i < snapshot->point_count; i++)
		is_shown[i] = !has_only;
	for (size_t i = 0; i < filter->count; i++)
		if (filter->rules[i].kind == DHAT_FILTER_ONLY)
			apply_rule(&filter->rules[i], snapshot, known, is_shown);
	for (size_t i = 0; i < snapshot->point_count; i++)
		if (!is_shown[i] && !dhat_point_is_before(snapshot->points[i]))
			add_up(&filter->others, snapshot->points[i]);
	for (size_t i = 0; i < filter->count; i++)
		if (filter->rules[i].kind != DHAT_FILTER_ONLY)
			apply_rule(&filter->rules[i], snapshot, known, is_shown);
	return 0;
}

int dhat_filter_note(const struct dhat_filter *filter, struct dhat_snapshot *snapshot)
{
	struct dhat_filter_rule sum = filter->others;
	char text[256];

	for (size_t i = 0; i < filter->count; i++) {
		const struct dhat_filter_rule *rule = &filter->rules[i];

		if (rule->kind == DHAT_FILTER_ONLY)
			continue;
		sum.live_bytes += rule->live_bytes;
		sum.live_blocks += rule->live_blocks;
		sum.stack_count += rule->stack_count;
	}
	if (!sum.stack_count)
		return 0;
	snprintf(text, sizeof(text),
		 "left out, as asked for: %" PRIu64 " stacks, with %" PRIu64
		 " bytes live in %" PRIu64 " blocks; totals are of the whole process",
		 sum.stack_count, sum.live_bytes, sum.live_blocks);
	return dhat_snapshot_add_note(snapshot, text);
}

int dhat_filter_reduce(struct dhat_filter *filter, struct dhat_snapshot *snapshot)
{
	_cleanup_free_ bool *is_shown = calloc(snapshot->point_count + 1, sizeof(*is_shown));
	_cleanup_free_ uint32_t *numbers = calloc(snapshot->point_count + 1, sizeof(*numbers));
	size_t kept = 0;
	int r = is_shown && numbers ? dhat_filter_apply(filter, snapshot, is_shown) : -ENOMEM;

	if (r == 0)
		r = dhat_filter_note(filter, snapshot);
	if (r < 0)
		return r;
	for (size_t i = 0; i < snapshot->point_count; i++) {
		if (!is_shown[i])
			continue;
		snapshot->points[kept++] = snapshot->points[i];
		numbers[i] = kept;
	}
	snapshot->point_count = kept;
	dhat_held_renumber(snapshot, numbers);
	return 0;
}
