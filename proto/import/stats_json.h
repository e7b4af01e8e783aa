#pragma once
/* stats_json: what `dhatctl stats --json' prints, read back; the way from cli/report.c.
 *
 * It lists the largest stacks (--top), with all of their frames, beside the totals of the whole:
 * the other stacks are one point, DHAT_LABEL_NOT_LISTED, so that sums stay what they were. Rows
 * that are no stacks (--by) are refused.
 */
#include <json-c/json.h>
#include <stdbool.h>

#include "proto/profile/snapshot.h"

bool dhat_stats_json_knows(struct json_object *root);
/* What is read of root is taken out of it. */
int dhat_stats_json_import(struct json_object *root, const char *path, struct dhat_snapshot **ret,
			   struct dhat_error *err);
