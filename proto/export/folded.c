/* folded: a line a stack, outermost function first, ";" between two, and one number: what
 * flamegraph.pl, speedscope and their kin read.
 *
 * Such a line has no quoting. Its readers split at each ";", and take the digits behind the last
 * blank for the number; flamegraph.pl takes a second number before it for the other side of a
 * difference. So a ";" of a name is written as ",", and a blank before digits at a line's end as
 * "_". Only whole numbers above 0 are read everywhere.
 */
#include "export.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/profile/frame_text.h"
#include "proto/profile/rendering.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

static char *folded_name(const Dhat__Frame *frame, const Dhat__Location *location)
{
	char *name = dhat_frame_name(frame, location);

	for (char *c = name; c && *c; c++) {
		if (*c == ';')
			*c = ',';
	}
	return name;
}

/* Where the digits begin that end a name, and a blank before them; else the name's end. */
static size_t plain_length(const char *name)
{
	size_t length = strlen(name), end = length;

	while (end && isdigit((unsigned char)name[end - 1]))
		end--;
	return end < length && end && name[end - 1] == ' ' ? end - 1 : length;
}

static void put_innermost(const char *name, FILE *file)
{
	size_t length = plain_length(name);

	fwrite(name, 1, length, file);
	if (name[length])
		fprintf(file, "_%s", name + length + 1);
}

static void put_point(const struct dhat_rendering *rendering,
		      const struct dhat_rendered_point *point, uint64_t value, FILE *file)
{
	for (uint32_t i = point->line_count - 1; i; i--)
		fprintf(file, "%s;", rendering->lines[point->lines[i]]);
	put_innermost(rendering->lines[point->lines[0]], file);
	fprintf(file, " %" PRIu64 "\n", value);
}

static int write_folded(const struct dhat_snapshot *snapshot,
			const struct dhat_export_options *options, FILE *file,
			struct dhat_error *err)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *rendering = NULL;
	int r;

	r = dhat_rendering_new(snapshot, folded_name, options->trim_rules, &rendering);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot write the profile as folded stacks");
	for (size_t i = 0; i < rendering->point_count; i++) {
		uint64_t value = dhat_metric_of(rendering->points[i], options->metric);

		if (value)
			put_point(rendering, rendering->points[i], value, file);
	}
	return 0;
}

const struct dhat_exporter dhat_folded_exporter = {
	.name = "folded",
	.suffix = ".folded",
	.write = write_folded,
};
