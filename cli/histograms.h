#pragma once
/* histograms: how old blocks are, how long they had lived, how large they are, for people and for
 * programs. */
#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "proto/profile/rendering.h"

/* Below a row of a list; nothing where nothing is counted. */
void histograms_print_ages(struct screen *screen, const struct dhat_rendering *table,
			   const struct dhat_rendered_point *point);
void histograms_print_sizes(struct screen *screen, const struct dhat_rendering *table,
			    const struct dhat_rendered_point *point);
/* Of all rows, with a title; what was there before the attach is left out. */
void histograms_print_all_ages(struct screen *screen, const struct dhat_rendering *table);
void histograms_print_all_sizes(struct screen *screen, const struct dhat_rendering *table);
/* live_ages, dead_ages, live_sizes, slack_bytes. */
void histograms_add_json(struct json_object *object, const struct dhat_rendered_point *point);
