#include "import.h"

#include <string.h>

#include "dhat_json.h"
#include "jsonl.h"
#include "proto/base/cleanup.h"
#include "proto/profile/snapshot_file.h"

static int first_of(FILE *file)
{
	int first = fgetc(file);

	if (first != EOF)
		ungetc(first, file);
	return first;
}

bool dhat_import_knows(FILE *file)
{
	/* all writers of JSON put the version first */
	char begin[64] = "";
	size_t length;

	if (first_of(file) == 'D') /* "DHATSNAP" */
		return true;
	if (fseek(file, 0, SEEK_SET) < 0)
		return false;
	length = fread(begin, 1, sizeof(begin) - 1, file);
	rewind(file);
	return dhat_jsonl_knows(begin, length) || strstr(begin, "\"dhatFileVersion\"") ||
	       strstr(begin, "\"format_version\""); /* of `stats --json' */
}

static int import_json(FILE *file, const char *path, struct dhat_snapshot **ret,
		       struct dhat_error *err)
{
	_cleanup_(dhat_json_text_deinit) struct dhat_json_text text;
	int r = dhat_json_text_read(file, path, &text, err);

	if (r < 0)
		return r;
	return dhat_jsonl_knows(text.bytes, text.length) ? dhat_jsonl_import(&text, path, ret, err)
							 : dhat_json_import(&text, path, ret, err);
}

int dhat_import(FILE *file, const char *path, struct dhat_snapshot **ret, struct dhat_error *err)
{
	return first_of(file) == '{' ? import_json(file, path, ret, err)
				     : dhat_snapshot_read(file, path, ret, err);
}
