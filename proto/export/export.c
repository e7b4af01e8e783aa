#include "export.h"

#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/output.h"

/* The first is what a file's name means that tells nothing. */
static const struct dhat_exporter *const exporters[] = {
	&dhat_json_exporter,
	&dhat_lossless_exporter,
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

static const struct dhat_exporter *exporter_of_path(const char *path)
{
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < EXPORTER_COUNT; i++)
		if (!strcmp(dot, exporters[i]->suffix))
			return exporters[i];
	return exporters[0];
}

char *dhat_exporter_names(void)
{
	_cleanup_free_ char *names = NULL;
	size_t size;
	FILE *file = open_memstream(&names, &size);

	if (!file)
		return NULL;
	for (size_t i = 0; i < EXPORTER_COUNT; i++)
		fprintf(file, "%s%s", i ? ", " : "", exporters[i]->name);
	return fclose(file) ? NULL : take_ptr(names);
}

int dhat_save(const struct dhat_snapshot *snapshot, const char *path,
	      const struct dhat_exporter *exporter, unsigned trim_rules, struct dhat_error *err)
{
	_cleanup_(dhat_output_free_ptr) struct dhat_output *output = NULL;
	int r;

	r = dhat_output_new(path, &output, err);
	if (r < 0)
		return r;
	if (!exporter)
		exporter = exporter_of_path(path);
	r = exporter->write(snapshot, trim_rules, dhat_output_stream(output), err);
	return r < 0 ? r : dhat_output_commit(output, err);
}
