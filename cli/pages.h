#pragma once
/* pages: what of rows is in memory (proto/profile/pages.h), as commands print it. */
#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "proto/profile/rendering.h"

/* Has it pages? If not, why, and what to do. path: of the file it is from; NULL: of a process. */
int pages_check(const struct dhat_snapshot *snapshot, const char *path, struct dhat_error *err);

/* "1.2 MiB in memory, 80 KiB swapped out, 3.0 MiB not in memory; 5.1 MiB free beside": what is 0 is
 * left out. Of one row, indented as its lines. */
void pages_print(struct screen *screen, const struct dhat_point_pages *pages);
void pages_add_json(struct json_object *object, const struct dhat_point_pages *pages);
