#pragma once
/* export: a snapshot into a result file, in one of the formats there are.
 *
 * A new format is a file beside dhat_json.c that defines one struct dhat_exporter, declared below,
 * and one line in the table of export.c.
 */
#include <stdio.h>

#include "proto/profile/snapshot.h"

struct dhat_exporter {
	const char *name;   /* of --format */
	const char *suffix; /* of a file's name, with its dot */
	/* trim_rules: bits of enum dhat_trim; a format that keeps everything ignores them. What
	 * fails at the stream shows when it is committed (dhat_output_commit). */
	int (*write)(const struct dhat_snapshot *snapshot, unsigned trim_rules, FILE *file,
		     struct dhat_error *err);
};

extern const struct dhat_exporter dhat_json_exporter, dhat_lossless_exporter;

/* NULL: there is none of that name. */
const struct dhat_exporter *dhat_exporter_of_name(const char *name);
/* "json, dhat": for a message. The caller frees; NULL: no memory. */
char *dhat_exporter_names(void);

/* Written whole (proto/base/output.h); "-": the standard output. exporter NULL: the one that the
 * path's suffix names, or DHAT JSON. */
int dhat_save(const struct dhat_snapshot *snapshot, const char *path,
	      const struct dhat_exporter *exporter, unsigned trim_rules, struct dhat_error *err);
