#pragma once
/* json_text: a JSON text of anybody's as json-c's tree, within bounds.
 *
 * A tree takes far more memory than its text: "{},{}" makes 780 bytes of each three (json-c 0.16).
 * So the text is weighed before it is parsed, and refused where its tree would be too large.
 */
#include <json-c/json.h>
#include <stdio.h>

#include "proto/base/error.h"

#define DHAT_JSON_TEXT_MAX (512u << 20)
/* Of the text, the tree and a snapshot made of it, in bytes. 10^5 stacks of 30 frames weigh 1.2 GB,
 * and take 0.5. */
#define DHAT_JSON_WEIGHT_MAX (2ull << 30)
#define DHAT_JSON_DEPTH_MAX 16

struct dhat_json_text {
	char *bytes; /* owned; not terminated */
	size_t length, room;
};

/* To the end of the file. To be given to dhat_json_text_deinit() when it failed, too. path: for
 * messages. */
int dhat_json_text_read(FILE *file, const char *path, struct dhat_json_text *ret,
			struct dhat_error *err);
void dhat_json_text_deinit(struct dhat_json_text *text);
/* May this be parsed, whole or in parts of which a snapshot is made? */
int dhat_json_text_check(const char *bytes, size_t length, const char *path,
			 struct dhat_error *err);
/* All of these bytes as one value; they are checked. The caller puts it (json_object_put). */
int dhat_json_text_parse(const char *bytes, size_t length, const char *path,
			 struct json_object **ret, struct dhat_error *err);
