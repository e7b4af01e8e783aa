#pragma once
/* export: a snapshot into a result file, in one of the formats there are.
 *
 * A new format is a file beside dhat_json.c that defines one struct dhat_exporter, declared below,
 * and one line in the table of export.c.
 */
#include <stdio.h>

#include "proto/profile/metric.h"
#include "proto/profile/snapshot.h"

struct dhat_export_options { /* all 0: what one gets who asks for nothing */
	unsigned trim_rules; /* bits of enum dhat_trim; a format that keeps everything ignores them
			      */
	enum dhat_metric metric; /* for a format that holds but one number of each point */
	/* Figures of the points and of the totals may be negative, in two's complement
	 * (DHAT_GROWTH_SIGNED of growth.h): for formats that hold differences only. */
	bool is_difference;
};

struct dhat_exporter {
	const char *name;	/* of --format */
	const char *suffix;	/* of a file's name, with its dot */
	bool holds_differences; /* has a way to say that something has shrunk */
	/* What fails at the stream shows when it is committed (dhat_output_commit). */
	int (*write)(const struct dhat_snapshot *snapshot,
		     const struct dhat_export_options *options, FILE *file, struct dhat_error *err);
};

extern const struct dhat_exporter dhat_json_exporter, dhat_lossless_exporter, dhat_pprof_exporter,
	dhat_speedscope_exporter, dhat_folded_exporter, dhat_jsonl_exporter, dhat_html_exporter,
	dhat_massif_exporter, dhat_callgrind_exporter;

/* NULL: there is none of that name. */
const struct dhat_exporter *dhat_exporter_of_name(const char *name);
/* The one that a path's suffix names; DHAT JSON for "-", for what is no regular file, and for a
 * name without any suffix. -EINVAL: a suffix that no format has; the message lists those there are.
 */
int dhat_exporter_of_path(const char *path, const struct dhat_exporter **ret,
			  struct dhat_error *err);
/* How much of a path stands before the suffix of this format: all of it if it has none. */
size_t dhat_exporter_stem(const struct dhat_exporter *exporter, const char *path);
/* "json, dhat, …": for a message. The caller frees; NULL: no memory. */
char *dhat_exporter_names(void);

/* Written whole (proto/base/output.h); "-": the standard output. exporter NULL: that of the path.
 * options NULL: all 0. */
int dhat_save(const struct dhat_snapshot *snapshot, const char *path,
	      const struct dhat_exporter *exporter, const struct dhat_export_options *options,
	      struct dhat_error *err);
