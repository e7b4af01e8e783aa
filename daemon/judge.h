#pragma once
/* judge: at the end of `dhatd run` its profiles are judged by the conditions that were given. */
#include "dhatd.h"

/* Of all that ended; nothing where no condition was given. *ret_code: as of dhat_gate_finish();
 * what there is to say goes to stderr. A program that has not ended, or goes on as another that is
 * not watched, is an error: its profile is not the one that was meant. */
int judge_all(struct dhatd *dhatd, struct target *const *list, size_t count,
	      enum dhat_exit *ret_code, struct dhat_error *err);
