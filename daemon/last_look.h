#pragma once
/* last_look: `dhatd run` with a condition on what is lost: when the program comes to its end it is
 * looked at once more, before its memory goes (kernel/last_stop.h).
 */
#include "dhatd.h"

struct last_look;

/* Before the program is started. *ret NULL: no condition asks for it. Where it cannot be done, the
 * reason is said, and the condition cannot be decided, or goes by what somebody has asked for. */
int last_look_begin(struct dhatd *dhatd, struct last_look **ret, struct dhat_error *err);
/* Once the program has ended, or dhatd is to end; targets are there still: if it just stands still
 * to be looked at, it goes on, and from now on it is stopped no more. NULL is allowed. */
void last_look_end(struct last_look *look);
/* When targets tell it of nothing any more. Ends it, if that is not done. NULL is allowed. */
void last_look_free(struct last_look *look);
