#pragma once
/* survivors: how many marks the live blocks of each row have outlived. */
#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "proto/profile/mark.h"
#include "proto/profile/rendering.h"

struct survivors { /* all 0: none */
	const struct dhat_rendering *table;
	size_t marks;
	struct dhat_born *figures; /* of each row, of each number of marks from 0 on */
};

/* -ENOMEM. No more than a pass over the points; nothing is kept where there are no marks. */
int survivors_count(const struct dhat_rendering *table, struct survivors *ret);
void survivors_deinit(struct survivors *survivors);

/* Below a row of a list; nothing where there are no marks. */
void survivors_print(struct screen *screen, const struct survivors *survivors,
		     const struct dhat_rendered_point *point);
/* survived_bytes, survived_blocks: those that have outlived so many marks as the place says. */
void survivors_add_json(struct json_object *object, const struct survivors *survivors,
			const struct dhat_rendered_point *point);
