#pragma once
/* suspicion: what suspects.h judges, in words. */
#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "proto/profile/suspect_text.h"

#define SUSPICION_CHARS DHAT_WHY_CHARS

/* As suspect_text.h, in the local time. */
void suspicion_why(const struct dhat_snapshot *snapshot, const struct dhat_suspect *suspect,
		   char ret[SUSPICION_CHARS]);
/* Where something leaks or grows: a hint at the command that says what. Failures are no output. */
void suspicion_hint(struct screen *screen, const struct dhat_rendering *by_line);
/* An object; what a row is (its function and place, or frames as lines) is the caller's. */
struct json_object *suspicion_as_json(const struct dhat_snapshot *snapshot,
				      const struct dhat_suspect *suspect);
