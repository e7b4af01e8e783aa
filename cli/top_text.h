#pragma once
/* top_text: the lines that `dhatctl top' shows, on a screen and into a pipe. Pure.
 *
 * Texts are clean (proto/base/text.h), and the caller frees them; NULL: out of memory. Columns: 0
 * is no bound, then all figures are there. On a narrow screen the figure that rows are sorted by is
 * there, and of the others as many as leave room for names.
 */
#include "top_model.h"

/* "service (pid 12), watched for 3 min 2 s", and how it ended. */
char *top_text_title(const struct top_model *model);
/* What is live in all, how it has grown, how fast. */
char *top_text_totals(const struct top_model *model, size_t columns);
/* Which rows these are, in which order, and what is left out. */
char *top_text_rows(const struct top_model *model);
char *top_text_heading(const struct top_model *model, size_t columns);
/* What a row is called, in so many columns. */
char *top_text_name(const struct top_model *model, const struct top_row *row, size_t columns);
char *top_text_row(const struct top_model *model, const struct top_row *row, size_t columns);
/* What was live since the view began, in so many columns, and between which bounds: the lowest is a
 * low block, the highest a whole one. */
char *top_text_history(const struct top_history *history, size_t columns);
