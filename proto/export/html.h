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

/* Of a scan, and of pages: html_holders.c. */
bool html_has_holders(const struct html_page *page);
/* ,"held":…,"retained":…,"scan":… where there was a scan. -ENOMEM. */
int html_put_holders(const struct html_page *page);
/* Frames behind those of the stacks, which "held" has; and what each is called, for the caller to
 * free. */
size_t html_root_count(const struct html_page *page);
char *html_root_name(const struct html_page *page, size_t root);
/* Behind other columns. */
void html_put_scan_columns(const struct html_page *page);
