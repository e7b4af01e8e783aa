#include "export.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/output.h"

/* The first is what a file's name means that tells nothing. Of two suffixes that fit the longer one
 * counts. */
static const struct dhat_exporter *const exporters[] = {
	&dhat_json_exporter,	   &dhat_lossless_exporter, &dhat_pprof_exporter,
	&dhat_speedscope_exporter, &dhat_folded_exporter,   &dhat_jsonl_exporter,
	&dhat_html_exporter,	   &dhat_massif_exporter,   &dhat_callgrind_exporter,
};
enum { EXPORTER_COUNT = sizeof(exporters) / sizeof(*exporters) };

DEFINE_CLEANUP_PTR(struct dhat_output *, dhat_output_free)

const struct dhat_exporter *dhat_exporter_of_name(const char *name)
{
	for (size_t i = 0; i < EXPORTER_COUNT; i++)
		if (!strcmp(name, exporters[i]->name))
			return exporters[i];
	return NULL;
}

/* Where the suffix begins in a name that has more than that; NULL: it does not end so. */
static const char *find_suffix(const char *name, const char *suffix)
{
	size_t length = strlen(name), tail = strlen(suffix);

	return length > tail && !strcmp(name + length - tail, suffix) ? name + length - tail : NULL;
}

size_t dhat_exporter_stem(const struct dhat_exporter *exporter, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *suffix = find_suffix(slash ? slash + 1 : path, exporter->suffix);

	return suffix ? (size_t)(suffix - path) : strlen(path);
}

/* "json, dhat, …" or ".json, .dhat, …"; the caller frees. */
static char *list(bool are_suffixes)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	for (size_t i = 0; i < EXPORTER_COUNT; i++)
		fprintf(file, "%s%s", i ? ", " : "",
			are_suffixes ? exporters[i]->suffix : exporters[i]->name);
	return fclose(file) ? NULL : take_ptr(text);
}

int dhat_exporter_of_path(const char *path, const struct dhat_exporter **ret,
			  struct dhat_error *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	_cleanup_free_ char *suffixes = NULL;

	*ret = NULL;
	for (size_t i = 0; i < EXPORTER_COUNT; i++) {
		if (find_suffix(name, exporters[i]->suffix) &&
		    (!*ret || strlen((*ret)->suffix) < strlen(exporters[i]->suffix)))
			*ret = exporters[i];
	}
	if (*ret)
		return 0;
	*ret = exporters[0];
	/* a dot in front hides a file and begins no suffix; the name of what is no file says
	 * nothing of a format */
	if (!*name || !strchr(name + 1, '.') || !dhat_output_is_file(path))
		return 0;
	suffixes = list(true);
	return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
			      "%s: no format has this suffix; there are: %s (or give --format)",
			      path, suffixes ?: "");
}

char *dhat_exporter_names(void)
{
	return list(false);
}

int dhat_save(const struct dhat_snapshot *snapshot, const char *path,
	      const struct dhat_exporter *exporter, const struct dhat_export_options *options,
	      struct dhat_error *err)
{
	static const struct dhat_export_options nothing_asked;
	_cleanup_(dhat_output_free_ptr) struct dhat_output *output = NULL;
	int r = 0;

	if (!exporter)
		r = dhat_exporter_of_path(path, &exporter, err);
	if (r == 0)
		r = dhat_output_new(path, &output, err);
	if (r < 0)
		return r;
	r = exporter->write(snapshot, options ?: &nothing_asked, dhat_output_stream(output), err);
	return r < 0 ? r : dhat_output_commit(output, err);
}
