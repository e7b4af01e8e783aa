#pragma once
/* verdict: the three words by which a profile says how far its numbers can be trusted.
 *
 * exact:   totals, live bytes and peaks are those of all calls of all allocators of the process,
 *          as far as anybody can tell.
 * partial: they are those of the allocators that were probed; others are there, and not counted.
 * inexact: something of the probed allocators was lost.
 */
#include "proto/wire/dhat.pb-c.h"

enum dhat_verdict { DHAT_EXACT, DHAT_PARTIAL, DHAT_INEXACT };

/* "exact", "partial", "inexact" */
const char *dhat_verdict_word(enum dhat_verdict verdict);
/* What a message says; one of a time when there were two words: exact or inexact. A word that is
 * not known is none to be trusted. */
enum dhat_verdict dhat_verdict_of(const Dhat__Verdict *message);
