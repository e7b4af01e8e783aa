#pragma once
/* suspicion: what suspects.h judges, in words. */
#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "proto/profile/suspects.h"

#define SUSPICION_CHARS 256

/* "grows 3.1 MiB a minute since 10:02:11; none of its 4,866 blocks was ever freed" */
void suspicion_why(const struct dhat_snapshot *snapshot, const struct dhat_suspect *suspect,
		   char ret[SUSPICION_CHARS]);
/* "2 lines leak, 1 more may", "nothing leaks: no line grows", …: of a table and its suspects. */
void suspicion_headline(const struct dhat_rendering *table, const struct dhat_suspects *suspects,
			char ret[SUSPICION_CHARS]);
/* Where something leaks or grows: a hint at the command that says what. Failures are no output. */
void suspicion_hint(struct screen *screen, const struct dhat_rendering *by_line);
/* An object; what a row is (its function and place, or frames as lines) is the caller's. */
struct json_object *suspicion_as_json(const struct dhat_snapshot *snapshot,
				      const struct dhat_suspect *suspect);
