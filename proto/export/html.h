#pragma once
/* html: what the files that write a report's data share. Private to them. */
#include <stdio.h>

#include "proto/profile/rendering.h"

struct html_page {
	const struct dhat_rendering *rendering;
	const struct dhat_rendered_point **order; /* by stack, from the outermost frame on: the
						   * page's rows */
	bool is_difference;
	FILE *file;
};

/* A JSON string without "<": neither </script> nor <!-- stands in it. -ENOMEM. */
int html_put_string(const struct html_page *page, const char *text);

/* How the heap came to be what it is: ,"timeline":…,"marks":…,"suspects":… as far as they are
 * there. -ENOMEM. */
int html_put_history(const struct html_page *page);
/* Two columns for each mark, behind others: of what was allocated since and lives, bytes and
 * blocks. -ENOMEM. */
int html_put_mark_columns(const struct html_page *page);
