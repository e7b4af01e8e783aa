#pragma once
/* names_hint: what helps where functions have no names. */
#include "rows.h"

/* Of the rows shown: which files lack names, and what to install; nothing if all have one. The
 * table is sorted. */
void names_hint(struct screen *screen, const struct dhat_rendering *table,
		const struct rows_options *options);
