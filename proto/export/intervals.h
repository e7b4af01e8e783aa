#pragma once
/* intervals: how far figures of a sample may be off, as programs read it (estimate.h): keys
 * "total_bytes_interval", "peak_bytes_interval" and "live_bytes_interval", [lowest, highest] each,
 * of 95 %; and "sampled", what they stand on, by which they can be told of sums and differences,
 * too. Nothing of a profile that is no sample.
 */
#include <stdint.h>
#include <stdio.h>

#include "proto/profile/estimate.h"
#include "proto/profile/rendering.h"

struct json_object;

/* bytes: by enum dhat_estimated. */
void intervals_add_json(struct json_object *object, uint64_t sample_bytes,
			const struct dhat_evidence *evidence,
			const uint64_t bytes[DHAT_ESTIMATED_COUNT]);
void intervals_add_point_json(struct json_object *object, const struct dhat_snapshot *snapshot,
			      const struct dhat_rendered_point *point);
/* Of the whole, and what a stack that is not listed may have: "unseen_bytes". */
void intervals_add_totals_json(struct json_object *object, const struct dhat_snapshot *snapshot);

/* The same into a line of JSON, behind other fields: ,"total_bytes_interval":[…],… -ENOMEM. */
int intervals_put_point(FILE *file, const struct dhat_snapshot *snapshot,
			const struct dhat_rendered_point *point);
int intervals_put_totals(FILE *file, const struct dhat_snapshot *snapshot);

/* For formats that have room for one line: "live bytes are 40.1 MiB to 44.1 MiB at 95%; of each
 * stack: dhatctl stats"; NULL: no sample, or no memory. The caller frees. */
char *intervals_sentence(const struct dhat_snapshot *snapshot);
