#include "difference_file.h"

#include "proto/base/cleanup.h"
#include "proto/profile/growth.h"
#include "view.h"
#include "written.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

static struct difference_counts count(const struct dhat_difference *difference)
{
	struct difference_counts counts = { 0 };

	for (size_t i = 0; i < difference->count; i++) {
		int64_t change = dhat_change_bytes(&difference->list[i]);

		counts.grown += change > 0;
		counts.shrunk += change < 0;
		counts.shrunk_bytes += change < 0 ? -(uint64_t)change : 0;
	}
	return counts;
}

int difference_file_write(const struct dhat_difference *difference, const char *path,
			  const struct dhat_exporter *exporter, struct dhat_export_options options,
			  struct difference_counts *ret, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *growth = NULL;
	int r;

	options.is_difference = exporter->holds_differences;
	r = dhat_growth_new(difference,
			    options.is_difference ? DHAT_GROWTH_SIGNED : DHAT_GROWTH_GROWN,
			    &growth);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot put the difference together");
	*ret = count(difference);
	return written_save(growth, path, exporter, &options, err);
}

/* "1 stack has grown", "12 stacks have grown" */
static void print_count(struct screen *screen, size_t count, const char *verb)
{
	fprintf(screen->file, "%s %s %s", view_counted(count, "stack"), count == 1 ? "has" : "have",
		verb);
}

void difference_file_print(struct screen *screen, const struct difference_counts *counts,
			   const char *path, const struct dhat_exporter *exporter)
{
	fputc('\n', screen->file);
	print_count(screen, counts->grown, "grown");
	if (exporter->holds_differences) {
		fputs(", ", screen->file);
		print_count(screen, counts->shrunk, "shrunk");
	}
	fputs("; written to ", screen->file);
	screen_text(screen, path);
	fputc('\n', screen->file);
	if (counts->shrunk && !exporter->holds_differences)
		fprintf(screen->file,
			"What has shrunk is left out, %s by %s: %s has no place for it\n",
			view_counted(counts->shrunk, "stack"), view_size(counts->shrunk_bytes),
			exporter->name);
}
