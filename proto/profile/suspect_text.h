#pragma once
/* suspect_text: why suspects.h judges a row as it does, in words. Pure. No names are in them. */
#include "suspects.h"

#define DHAT_WHY_CHARS 384
#define DHAT_WORD_CHARS 64

/* "lost", "leaks (high confidence)", "lost, and grows (low confidence)"; "": it is no suspect. */
const char *dhat_suspect_word(const struct dhat_suspect *suspect, char ret[DHAT_WORD_CHARS]);
/* "nothing in the process pointed to 640 KiB in 10,000 blocks 2 min ago; grows 3.1 MiB a minute
 * since 10:02:11; none of its 4,866 blocks was ever freed". since: the moment of
 * suspicion.since_ns, as whoever reads it has the time. */
void dhat_suspect_why(const struct dhat_snapshot *snapshot, const struct dhat_suspect *suspect,
		      const char *since, char ret[DHAT_WHY_CHARS]);
/* "2 lines leak, 1 more may", "nothing leaks: no line grows", …: of a table and its suspects. */
void dhat_suspects_headline(const struct dhat_rendering *table,
			    const struct dhat_suspects *suspects, char ret[DHAT_WHY_CHARS]);
