#pragma once
/* stack_series: the stacks of a profile that monitoring gets series of their own for. Pure.
 *
 * A name is the innermost functions of the program's own code, with a file where it is another one
 * than before: "load_session (src/login.c) < login < handle_request (src/http.c)". It has neither
 * addresses nor lines and is the same after a restart, so that a condition on a series goes on.
 * Stacks of one name are summed.
 * There are series for the STACK_SERIES_LIVE that keep most, for up to STACK_SERIES_GROWING that
 * grow most of the others, for the blocks from before the attach, and one for all that is left.
 * M1: live bytes and blocks of all series add up to the process's.
 * M2: while the blocks from before the attach are being listed they have no series, and are in
 *     none: what becomes known bit by bit would look like growth.
 */
#include "proto/profile/estimate.h"
#include "proto/profile/snapshot.h"

#define STACK_SERIES_LIVE 20
#define STACK_SERIES_GROWING 10
#define STACK_SERIES_FUNCTIONS 4 /* in a name, the innermost */
#define STACK_SERIES_CHARS 120	 /* of a function, or of its file */
#define STACK_SERIES_OTHERS "[all others]"

struct stack_series {
	char *name; /* owned */
	uint64_t live_bytes, live_blocks, total_bytes, total_blocks;
	struct dhat_evidence evidence;
	struct dhat_interval live; /* where live_bytes lie, of a sample */
	double growth;		   /* bytes a second; dhat_rendered_point.growth */
	/* A counter must not fall, which the sum of the others does when one gets a series of its
	 * own: they have none. */
	bool has_totals;
};

struct stack_series_list {
	struct stack_series *list;
	size_t count;
	double growth; /* of all stacks */
};

/* -ENOMEM is the only failure. */
int stack_series_of(const struct dhat_snapshot *snapshot, struct stack_series_list *ret);
void stack_series_deinit(struct stack_series_list *series);
