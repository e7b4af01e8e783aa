#pragma once
/* baseline: a digest as a file that people keep beside their source and read the changes of.
 *
 * JSON, a row a line, sorted by names, without addresses, dates and process numbers, so that equal
 * profiles are equal bytes:
 *
 *   {
 *   "dhatd_baseline": 1,
 *   "program": "service",
 *   "verdict": "exact",
 *   "totals": {"live_bytes": 0, …},
 *   "stacks": [
 *   {"stack": ["parse_line (src/parser.c)", "main (src/main.c)"], "live_bytes": 0, …},
 *   …
 *   ]
 *   }
 */
#include <stdio.h>

#include "digest.h"

#define DHAT_BASELINE_VERSION 1
#define DHAT_BASELINE_MAX_BYTES (256u << 20)

/* What fails at the stream shows when it is committed (dhat_output_commit). */
int dhat_baseline_write(const struct dhat_digest *digest, FILE *file, struct dhat_error *err);
/* Such a file; path is for messages. Rows may stand in any order. */
int dhat_baseline_read(FILE *file, const char *path, struct dhat_digest **ret,
		       struct dhat_error *err);
