#include "intervals.h"

#include <errno.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/json.h"

DEFINE_CLEANUP_PTR(struct json_object *, json_object_put)

static void add_evidence(struct json_object *object, const struct dhat_evidence *evidence)
{
	Dhat__Sampled sampled = DHAT__SAMPLED__INIT;

	sampled.total_bytes = evidence->seen_bytes[DHAT_ESTIMATED_TOTAL];
	sampled.peak_bytes = evidence->seen_bytes[DHAT_ESTIMATED_PEAK];
	sampled.live_bytes = evidence->seen_bytes[DHAT_ESTIMATED_LIVE];
	sampled.total_single = evidence->single_bytes[DHAT_ESTIMATED_TOTAL];
	sampled.peak_single = evidence->single_bytes[DHAT_ESTIMATED_PEAK];
	sampled.live_single = evidence->single_bytes[DHAT_ESTIMATED_LIVE];
	sampled.total_variance = evidence->variance[DHAT_ESTIMATED_TOTAL];
	sampled.peak_variance = evidence->variance[DHAT_ESTIMATED_PEAK];
	sampled.live_variance = evidence->variance[DHAT_ESTIMATED_LIVE];
	json_object_object_add(object, "sampled", dhat_json_message(&sampled.base));
}

void intervals_add_json(struct json_object *object, uint64_t sample_bytes,
			const struct dhat_evidence *evidence,
			const uint64_t bytes[DHAT_ESTIMATED_COUNT])
{
	static const char *const names[DHAT_ESTIMATED_COUNT] = {
		[DHAT_ESTIMATED_TOTAL] = "total_bytes_interval",
		[DHAT_ESTIMATED_PEAK] = "peak_bytes_interval",
		[DHAT_ESTIMATED_LIVE] = "live_bytes_interval",
	};

	if (!sample_bytes)
		return;
	for (int i = 0; i < DHAT_ESTIMATED_COUNT; i++) {
		struct dhat_interval interval =
			dhat_interval_of(sample_bytes, evidence, i, bytes[i]);
		struct json_object *pair = json_object_new_array();

		json_object_array_add(pair, json_object_new_uint64(interval.low));
		json_object_array_add(pair, json_object_new_uint64(interval.high));
		json_object_object_add(object, names[i], pair);
	}
	add_evidence(object, evidence);
}

void intervals_add_point_json(struct json_object *object, const struct dhat_snapshot *snapshot,
			      const struct dhat_rendered_point *point)
{
	const uint64_t bytes[DHAT_ESTIMATED_COUNT] = { point->total_bytes, point->peak_bytes,
						       point->live_bytes };

	intervals_add_json(object, snapshot->head->sample_bytes, &point->evidence, bytes);
}

void intervals_add_totals_json(struct json_object *object, const struct dhat_snapshot *snapshot)
{
	const Dhat__Totals *totals = snapshot->end->totals;
	const uint64_t bytes[DHAT_ESTIMATED_COUNT] = { totals->total_bytes, totals->peak_bytes,
						       totals->live_bytes };
	uint64_t sample_bytes = snapshot->head->sample_bytes;
	struct dhat_evidence evidence;

	if (!sample_bytes)
		return;
	dhat_evidence_of_snapshot(snapshot, &evidence);
	intervals_add_json(object, sample_bytes, &evidence, bytes);
	json_object_object_add(object, "unseen_bytes",
			       json_object_new_uint64(dhat_estimate_unseen(sample_bytes)));
}

/* An object's fields, without what is around them. */
static int put_fields(FILE *file, struct json_object *object)
{
	const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
	size_t length = text ? strlen(text) : 0;

	if (length < 2)
		return -ENOMEM;
	if (length > 2)
		fprintf(file, ",%.*s", (int)length - 2, text + 1);
	return 0;
}

int intervals_put_point(FILE *file, const struct dhat_snapshot *snapshot,
			const struct dhat_rendered_point *point)
{
	_cleanup_(json_object_put_ptr) struct json_object *object = NULL;

	if (!snapshot->head->sample_bytes)
		return 0;
	object = json_object_new_object();
	if (!object)
		return -ENOMEM;
	intervals_add_point_json(object, snapshot, point);
	return put_fields(file, object);
}

int intervals_put_totals(FILE *file, const struct dhat_snapshot *snapshot)
{
	_cleanup_(json_object_put_ptr) struct json_object *object = NULL;

	if (!snapshot->head->sample_bytes)
		return 0;
	object = json_object_new_object();
	if (!object)
		return -ENOMEM;
	intervals_add_totals_json(object, snapshot);
	return put_fields(file, object);
}

char *intervals_sentence(const struct dhat_snapshot *snapshot)
{
	const Dhat__SnapshotEnd *end = snapshot->end;
	char live[DHAT_INTERVAL_CHARS], total[DHAT_INTERVAL_CHARS], *text;
	uint64_t sample_bytes = snapshot->head->sample_bytes;
	struct dhat_interval lives, totals;
	struct dhat_evidence evidence;

	if (!sample_bytes)
		return NULL;
	dhat_evidence_of_snapshot(snapshot, &evidence);
	lives = dhat_interval_of(sample_bytes, &evidence, DHAT_ESTIMATED_LIVE,
				 end->totals->live_bytes);
	totals = dhat_interval_of(sample_bytes, &evidence, DHAT_ESTIMATED_TOTAL,
				  end->totals->total_bytes);
	if (asprintf(&text,
		     "estimates, at 95%%: %s live, %s allocated; of each stack: dhatctl stats",
		     dhat_interval_text(&lives, live), dhat_interval_text(&totals, total)) < 0)
		return NULL;
	return text;
}
