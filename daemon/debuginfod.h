#pragma once
/* debuginfod: debug files from a debuginfod server, by build id. Opt-in.
 *
 * The fetching is elfutils' debuginfod-find in a child process: what comes over the network is not
 * handled in dhatd, and a server that is slow costs no more than the time limit.
 */
#include <stddef.h>
#include <stdint.h>

struct debuginfod_options {
	const char *urls;    /* separated by spaces; NULL or "": debuginfod is not asked */
	const char *cache;   /* directory, made if needed; NULL: debuginfod-find's own choice */
	uint32_t max_seconds; /* for one file; 0: DEBUGINFOD_SECONDS */
};
#define DEBUGINFOD_SECONDS 20

/* A readable fd, or -1: not asked, not found, too slow, no debuginfod-find. */
int debuginfod_fetch(const struct debuginfod_options *options, const uint8_t *build_id,
		     size_t build_id_size);
