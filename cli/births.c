#include "births.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/units.h"
#include "view.h"

bool births_is_mark(const char *word)
{
	struct stat stat_;

	return dhat_is_mark_name(word) && (stat(word, &stat_) < 0 || !S_ISREG(stat_.st_mode));
}

/* ---- which --------------------------------------------------------------------------------- */

/* "a, b, c"; what has no room is left out. */
static void list_names(const struct dhat_snapshot *snapshot, char *ret, size_t size)
{
	const Dhat__SnapshotHead *head = snapshot->head;
	size_t used = 0;

	*ret = '\0';
	for (size_t i = 0; i < head->n_marks; i++) {
		const char *name = head->marks[i]->name;

		if (used + strlen(name) + strlen(", …") >= size) {
			snprintf(ret + used, size - used, ", …");
			return;
		}
		used += snprintf(ret + used, size - used, "%s%s", i ? ", " : "", name);
	}
}

static int unknown(const struct dhat_snapshot *snapshot, const char *name, struct dhat_error *err)
{
	char names[256];

	list_names(snapshot, names, sizeof(names));
	if (!*names)
		return dhat_error_set(err, ENOENT, DHAT_EXIT_USAGE, "there is no mark %s: %s", name,
				      snapshot->pid_count
					      ? "there are none that all of the processes have"
					      : "none was made (`dhatctl mark NAME' makes one)");
	return dhat_error_set(err, ENOENT, DHAT_EXIT_USAGE, "there is no mark %s; %s: %s", name,
			      snapshot->pid_count ? "all of the processes have" : "there are",
			      names);
}

int births_find(const struct dhat_snapshot *snapshot, const char *since, const char *before,
		struct dhat_births *ret, struct dhat_error *err)
{
	struct dhat_births births = { .since = dhat_mark_find(snapshot, since) };

	if (!births.since)
		return unknown(snapshot, since, err);
	if (before)
		births.before = dhat_mark_find(snapshot, before);
	if (before && !births.before)
		return unknown(snapshot, before, err);
	if (before && births.before <= births.since)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s was not made after %s: give the older one first", before,
				      since);
	*ret = births;
	return 0;
}

int births_find_older(const struct dhat_snapshot *snapshot, uint64_t older_ns,
		      struct dhat_births *ret, struct dhat_error *err)
{
	const Dhat__SnapshotHead *head = snapshot->head;

	if (!head->has_ages)
		return dhat_error_set(err, ENODATA, DHAT_EXIT_FAILED,
				      "the profile has no ages: it was taken without, or dhatd had "
				      "no room for them (--max-memory)");
	*ret = (struct dhat_births){ .are_older = true };
	if (head->older_ns != older_ns)
		ret->age_bucket = dhat_age_bucket(older_ns) ?: 1;
	return 0;
}

/* ---- words --------------------------------------------------------------------------------- */

static const Dhat__Mark *mark_at(const struct dhat_snapshot *snapshot, size_t number)
{
	return number ? snapshot->head->marks[number - 1] : NULL;
}

static uint64_t older_ns_of(const struct dhat_snapshot *snapshot, const struct dhat_births *births)
{
	return births->age_bucket ? dhat_age_bound_ns(births->age_bucket - 1)
				  : snapshot->head->older_ns;
}

const char *births_name(const struct dhat_snapshot *snapshot, const struct dhat_births *births,
			char ret[BIRTHS_CHARS])
{
	const Dhat__Mark *since = mark_at(snapshot, births->since);
	const Dhat__Mark *before = mark_at(snapshot, births->before);
	char duration[DHAT_UNIT_CHARS];

	if (births->are_older)
		snprintf(ret, BIRTHS_CHARS, "at least %s ago",
			 dhat_format_duration(older_ns_of(snapshot, births), duration));
	else if (before)
		snprintf(ret, BIRTHS_CHARS, "between %s and %s", since->name, before->name);
	else
		snprintf(ret, BIRTHS_CHARS, "since %s", since->name);
	return ret;
}

/* Both since the observation began. */
static void span_ns(const struct dhat_snapshot *snapshot, const struct dhat_births *births,
		    uint64_t *ret_begin, uint64_t *ret_end)
{
	const Dhat__Mark *before = mark_at(snapshot, births->before);

	*ret_begin = mark_at(snapshot, births->since)->ns;
	*ret_end = before ? before->ns : snapshot->end->totals->end_ns;
}

double births_seconds(const struct dhat_snapshot *snapshot, const struct dhat_births *births)
{
	uint64_t begin, end;

	if (births->are_older)
		return 0;
	span_ns(snapshot, births, &begin, &end);
	return end > begin ? (end - begin) / 1e9 : 0;
}

/* "22:13:50, 1 min 0 s"; of what is older: "before 22:13:50" */
static void format_when(const struct dhat_snapshot *snapshot, const struct dhat_births *births,
			char *ret, size_t size)
{
	uint64_t since = snapshot->head->target->observed_since_unix_ns, begin, end;
	uint64_t now = snapshot->end->totals->end_ns, older_ns = older_ns_of(snapshot, births);
	char duration[DHAT_UNIT_CHARS], span[128];

	if (births->are_older) {
		snprintf(ret, size, "before %s", view_moment(since + now - older_ns));
		return;
	}
	span_ns(snapshot, births, &begin, &end);
	if (births->before)
		view_span(since + begin, since + end, span, sizeof(span));
	else
		snprintf(span, sizeof(span), "%s", view_moment(since + begin));
	snprintf(ret, size, "%s, %s", span,
		 dhat_format_duration(births_seconds(snapshot, births) * 1e9, duration));
}

void births_print(struct screen *screen, const struct dhat_snapshot *snapshot,
		  const struct dhat_births *births)
{
	struct dhat_born born = dhat_all_born(snapshot, births);
	struct dhat_interval interval =
		dhat_interval_of_part(snapshot->head->sample_bytes, born.bytes);
	char name[BIRTHS_CHARS], when[192], text[640];
	Dhat__ProgramPoint before;

	format_when(snapshot, births, when, sizeof(when));
	snprintf(text, sizeof(text), "Allocated %s (%s): %s live in %s%s%s; %s in all",
		 births_name(snapshot, births, name), when, view_size(born.bytes),
		 view_counted(born.blocks, "block"), view_interval(&interval),
		 view_rate(born.bytes, births_seconds(snapshot, births)),
		 view_size(snapshot->end->totals->live_bytes));
	dhat_snapshot_before(snapshot, &before);
	if (births->are_older && before.live_blocks)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 ", of which %s from before the attach have no known age",
			 view_size(before.live_bytes));
	screen_paragraph(screen, 0, text);
	if (births->age_bucket)
		screen_paragraph(
			screen, 0,
			"A file knows ages by powers of two; blocks are exact, and bytes go by "
			"the mean size of a stack's blocks where only some are so old.");
}

struct json_object *births_as_json(const struct dhat_snapshot *snapshot,
				   const struct dhat_births *births)
{
	struct json_object *object = json_object_new_object();
	const Dhat__Mark *before = mark_at(snapshot, births->before);
	struct dhat_born born = dhat_all_born(snapshot, births);

	if (births->are_older)
		json_object_object_add(object, "older_ns",
				       json_object_new_uint64(older_ns_of(snapshot, births)));
	if (births->age_bucket)
		json_object_object_add(object, "bytes_are_estimated",
				       json_object_new_boolean(true));
	if (births->since)
		json_object_object_add(object, "since",
				       dhat_json_string(mark_at(snapshot, births->since)->name));
	if (before)
		json_object_object_add(object, "before", dhat_json_string(before->name));
	if (births->since)
		json_object_object_add(object, "seconds",
				       json_object_new_double(births_seconds(snapshot, births)));
	json_object_object_add(object, "live_bytes", json_object_new_uint64(born.bytes));
	json_object_object_add(object, "live_blocks", json_object_new_uint64(born.blocks));
	return object;
}
