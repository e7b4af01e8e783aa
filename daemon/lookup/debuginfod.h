#pragma once
/* debuginfod: debug files from a debuginfod server, by build id. Opt-in.
 *
 * The fetching is elfutils' debuginfod-find in a child process: what comes over the network is not
 * handled in dhatd, and a server that is slow costs no more than the time limit.
 */
#include <stddef.h>
#include <stdint.h>

struct debuginfod {
	const char *urls;     /* separated by spaces; NULL or "": debuginfod is not asked */
	const char *cache;    /* directory, made if needed; NULL: debuginfod-find's own choice */
	uint32_t max_seconds; /* for one file; 0: DEBUGINFOD_SECONDS */
	_Atomic uint64_t quiet_until_ns; /* CLOCK_MONOTONIC; after a file that took too long */
};
#define DEBUGINFOD_SECONDS 20
#define DEBUGINFOD_QUIET_SECONDS 300 /* or a dead server would cost the limit for every object */

/* A readable fd, or -1: not asked, not found, too slow, no debuginfod-find. Thread-safe. */
int debuginfod_fetch(struct debuginfod *debuginfod, const uint8_t *build_id, size_t build_id_size);
