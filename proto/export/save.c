#include "save.h"

#include <errno.h>
#include <string.h>

#include "export_dhat.h"
#include "proto/base/cleanup.h"
#include "proto/base/output.h"
#include "proto/profile/snapshot_file.h"

DEFINE_CLEANUP_PTR(struct dhat_output *, dhat_output_free)

int dhat_parse_format(const char *text, enum dhat_format *ret)
{
	if (!strcmp(text, "json"))
		*ret = DHAT_FORMAT_DHAT_JSON;
	else if (!strcmp(text, "dhat"))
		*ret = DHAT_FORMAT_LOSSLESS;
	else
		return -EINVAL;
	return 0;
}

static enum dhat_format format_of_name(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".dhat") ? DHAT_FORMAT_LOSSLESS : DHAT_FORMAT_DHAT_JSON;
}

static int write_lossless(const struct dhat_snapshot *snapshot, FILE *file, struct dhat_error *err)
{
	struct dhat_snapshot_writer writer;
	int r;

	r = dhat_snapshot_writer_init(&writer, file, err);
	for (size_t i = 0; r == 0 && i < snapshot->part_count; i++)
		r = dhat_snapshot_writer_add(&writer, snapshot->parts[i], err);
	return r < 0 ? r : dhat_snapshot_writer_end(&writer, err);
}

int dhat_save(const struct dhat_snapshot *snapshot, const char *path, enum dhat_format format,
	      unsigned trim_rules, struct dhat_error *err)
{
	_cleanup_(dhat_output_free_ptr) struct dhat_output *output = NULL;
	int r;

	r = dhat_output_new(path, &output, err);
	if (r < 0)
		return r;
	if (format == DHAT_FORMAT_BY_NAME)
		format = format_of_name(path);
	if (format == DHAT_FORMAT_LOSSLESS)
		r = write_lossless(snapshot, dhat_output_stream(output), err);
	else
		r = dhat_export_dhat(snapshot, trim_rules, dhat_output_stream(output), err);
	return r < 0 ? r : dhat_output_commit(output, err);
}
