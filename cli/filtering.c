#include "filtering.h"

#include <errno.h>
#include <stdio.h>

#include "proto/base/cleanup.h"
#include "view.h"

int filtering_reduce(struct dhat_filter *filter, const char *path,
		     const struct dhat_exporter *exporter, struct dhat_snapshot *snapshot,
		     struct dhat_error *err)
{
	int r = 0;

	if (!filter->count)
		return 0;
	if (!exporter)
		r = dhat_exporter_of_path(path, &exporter, err);
	if (r == 0 && exporter == &dhat_lossless_exporter)
		r = dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				   "a .dhat file keeps everything: choose stacks when you read it");
	if (r < 0)
		return r;
	r = dhat_filter_reduce(filter, snapshot);
	return r < 0 ? dhat_error_errno(err, -r, "cannot choose stacks") : 0;
}

static const char *const option_names[] = { "--filter", "--exclude", "leak:" };

static bool has_only(const struct dhat_filter *filter)
{
	for (size_t i = 0; i < filter->count; i++)
		if (filter->rules[i].kind == DHAT_FILTER_ONLY)
			return true;
	return false;
}

/* Each line behind one title. */
static void print_line(struct screen *screen, bool *has_title, const char *text)
{
	fputs(*has_title ? "          " : "\nLeft out: ", screen->file);
	*has_title = true;
	screen_paragraph(screen, 10, text);
}

static void print_rule(struct screen *screen, bool *has_title, const struct dhat_filter_rule *rule,
		       const char *why, const char *pattern)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "%s live in %s, %s: %s%s%s", view_size(rule->live_bytes),
		     view_counted(rule->live_blocks, "block"),
		     view_counted(rule->stack_count, "stack"), why,
		     rule->kind == DHAT_FILTER_SUPPRESSION ? "" : " ", pattern) < 0)
		return;
	print_line(screen, has_title, text);
}

void filtering_print(struct screen *screen, const struct dhat_filter *filter)
{
	bool has_title = false;

	if (has_only(filter))
		print_rule(screen, &has_title, &filter->others, "what does not match", "--filter");
	for (size_t i = 0; i < filter->count; i++) {
		const struct dhat_filter_rule *rule = &filter->rules[i];
		_cleanup_free_ char *text = NULL;

		if (rule->kind != DHAT_FILTER_ONLY && rule->stack_count) {
			print_rule(screen, &has_title, rule, option_names[rule->kind],
				   rule->pattern);
		} else if (rule->kind != DHAT_FILTER_SUPPRESSION && !rule->stack_count &&
			   asprintf(&text, "nothing by %s %s: it matches no stack",
				    option_names[rule->kind], rule->pattern) >= 0) {
			/* a slip of the fingers; a file may well have lines for other days */
			print_line(screen, &has_title, text);
		}
	}
}

static struct json_object *rule_as_json(const struct dhat_filter_rule *rule, const char *kind)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "kind", json_object_new_string(kind));
	if (rule->pattern)
		json_object_object_add(object, "pattern", dhat_json_string(rule->pattern));
	json_object_object_add(object, "live_bytes", json_object_new_uint64(rule->live_bytes));
	json_object_object_add(object, "live_blocks", json_object_new_uint64(rule->live_blocks));
	json_object_object_add(object, "total_bytes", json_object_new_uint64(rule->total_bytes));
	json_object_object_add(object, "total_blocks", json_object_new_uint64(rule->total_blocks));
	json_object_object_add(object, "stacks", json_object_new_uint64(rule->stack_count));
	return object;
}

struct json_object *filtering_as_json(const struct dhat_filter *filter)
{
	static const char *const kinds[] = { "filter", "exclude", "suppression" };
	struct json_object *array = json_object_new_array();

	if (has_only(filter))
		json_object_array_add(array, rule_as_json(&filter->others, "not matched"));
	for (size_t i = 0; i < filter->count; i++)
		if (filter->rules[i].kind != DHAT_FILTER_ONLY)
			json_object_array_add(array, rule_as_json(&filter->rules[i],
								  kinds[filter->rules[i].kind]));
	return array;
}
