/* DHAT JSON of anybody's and JSON lines, read back, shown as a table and exported again; and .dhat
 * files by the same door. */
#include "fuzz.h"
#include "proto/export/export.h"
#include "proto/import/import.h"

static void show(const struct dhat_snapshot *snapshot)
{
	const struct dhat_table_options by = { .style.by = DHAT_BY_LINE };
	struct dhat_rendering *table;

	FUZZ_CHECK(dhat_table_new(snapshot, &by, &table) == 0);
	dhat_rendering_free(table);
}

/* What was written of it can be read. */
static void write_again(const struct dhat_snapshot *snapshot)
{
	const struct dhat_export_options options = {};
	struct dhat_snapshot *again = NULL;
	struct dhat_error err = {};
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	FUZZ_CHECK(file);
	FUZZ_CHECK(dhat_json_exporter.write(snapshot, &options, file, &err) == 0);
	fclose(file);
	file = fmemopen(text, size, "r");
	FUZZ_CHECK(file);
	if (dhat_import(file, "again", &again, &err) < 0) {
		fprintf(stderr, "%s\n%s\n", err.message, text);
		abort();
	}
	dhat_snapshot_free(again);
	fclose(file);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dhat_snapshot *snapshot = NULL;
	struct dhat_error err = {};
	FILE *file = fmemopen((void *)data, size ? size : 1, "r");

	FUZZ_CHECK(file);
	if (dhat_import(file, "input", &snapshot, &err) == 0) {
		FUZZ_CHECK(snapshot->lacks || data[0] == 'D');
		FUZZ_CHECK(!snapshot->end->verdict->exact || data[0] == 'D' ||
			   memmem(data, size, "\"dhatd\"", 7) ||
			   memmem(data, size, "{\"type\":\"", 9));
		show(snapshot);
		if (snapshot->lacks)
			write_again(snapshot);
	} else {
		FUZZ_CHECK(err.code != DHAT_EXIT_OK && err.message[0]);
	}
	dhat_snapshot_free(snapshot);
	fclose(file);
	return 0;
}
