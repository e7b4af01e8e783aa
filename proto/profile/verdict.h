#pragma once
/* verdict: the words by which a profile says how far its numbers can be trusted.
 *
 * exact:   totals, live bytes and peaks are those of all calls of all allocators of the process,
 *          as far as anybody can tell.
 * sampled: they are estimates, with an interval each (estimate.h), by a sample of which nothing was
 *          lost.
 * partial: they are those of the allocators that were probed; others are there, and not counted. Of
 *          a sample they are estimates.
 * inexact: something of the probed allocators was lost.
 * not known: another program has made the profile, and does not say. Trusted as little as inexact.
 */
#include "proto/wire/dhat.pb-c.h"

/* From the best to the worst. */
enum dhat_verdict { DHAT_EXACT, DHAT_SAMPLED, DHAT_PARTIAL, DHAT_INEXACT, DHAT_NOT_KNOWN };

/* "exact", "sampled", "partial", "inexact", "not known" */
const char *dhat_verdict_word(enum dhat_verdict verdict);
/* What a message says; one of a time when there were two words: exact or inexact. Another word
 * than these is inexact: none to be trusted. */
enum dhat_verdict dhat_verdict_of(const Dhat__Verdict *message);
