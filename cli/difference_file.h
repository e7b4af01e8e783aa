#pragma once
/* difference_file: what dhatctl diff writes with --output. */
#include "proto/base/screen.h"
#include "proto/export/export.h"
#include "proto/profile/difference.h"

/* Stacks that have more live bytes, or less, and how much less. */
struct difference_counts {
	size_t grown, shrunk;
	uint64_t shrunk_bytes;
};

/* Into a format that has no way to say "shrunk" goes what has grown. The difference is of tables by
 * stack, of all frames. options->is_difference is set here. */
int difference_file_write(const struct dhat_difference *difference, const char *path,
			  const struct dhat_exporter *exporter, struct dhat_export_options options,
			  struct difference_counts *ret, struct dhat_error *err);
/* What is in the file, what is not, and where it is. */
void difference_file_print(struct screen *screen, const struct difference_counts *counts,
			   const char *path, const struct dhat_exporter *exporter);
