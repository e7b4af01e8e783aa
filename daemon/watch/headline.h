#pragma once
/* headline: a profile in a line, for a log and for a message that wakes somebody. Pure. */
#include <stdint.h>

#include "proto/profile/snapshot.h"

#define HEADLINE_CHARS 512

/* "nginx (pid 1234): 1.3 GiB live, 2.1 GiB resident; 812 MiB of it, 62%, from load_session at
 * src/session.c:51". rss_bytes 0: it is not known. Names are a target's choice: to be cleaned by
 * who shows it. */
void headline_of(const struct dhat_snapshot *snapshot, uint64_t rss_bytes,
		 char ret[HEADLINE_CHARS]);
