#pragma once
/* save: a snapshot into a result file. */
#include "proto/profile/snapshot.h"

enum dhat_format {
	DHAT_FORMAT_BY_NAME = 0, /* "….dhat": lossless; anything else: DHAT JSON */
	DHAT_FORMAT_DHAT_JSON,
	DHAT_FORMAT_LOSSLESS,
};

/* "json" or "dhat"; -EINVAL: neither. */
int dhat_parse_format(const char *text, enum dhat_format *ret);

/* Written whole (proto/base/output.h); "-": the standard output. trim_rules: bits of enum
 * dhat_trim, for DHAT JSON; a lossless file keeps everything. */
int dhat_save(const struct dhat_snapshot *snapshot, const char *path, enum dhat_format format,
	      unsigned trim_rules, struct dhat_error *err);
