#pragma once
/* tell: what dhatd says of its targets, on stderr, when it happens. */
#include "daemon/target/target.h"

/* is_service: lines are kept for later, so each of dhatd's begins with date and time; not so if
 * stderr is the journal's (JOURNAL_STREAM in systemd.exec(5)), which knows when. */
void tell_init(bool is_service);

void tell_attached(struct target *target);
/* then: what follows from it, behind the line; may be "". */
void tell_ended(struct target *target, const char *then);
void tell_detached(struct target *target);
/* How it went, in Valgrind's closing lines. */
void tell_totals(struct target *target);
