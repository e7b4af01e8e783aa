/* lossless: all that dhatd told, to be read back (proto/profile/snapshot_file.h). */
#include "export.h"

#include "proto/profile/snapshot_file.h"

static int write_lossless(const struct dhat_snapshot *snapshot,
			  const struct dhat_export_options *options, FILE *file,
			  struct dhat_error *err)
{
	struct dhat_snapshot_writer writer;
	int r = 0;

	dhat_snapshot_writer_init(&writer, file);
	for (size_t i = 0; r == 0 && i < snapshot->part_count; i++)
		r = dhat_snapshot_writer_add(&writer, snapshot->parts[i], err);
	dhat_snapshot_writer_end(&writer);
	return r;
}

const struct dhat_exporter dhat_lossless_exporter = {
	.name = "dhat",
	.suffix = ".dhat",
	.write = write_lossless,
};
