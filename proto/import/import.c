#include "import.h"

#include <string.h>

#include "dhat_json.h"
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
	/* all three writers put the version first */
	char begin[64] = "";

	if (first_of(file) == 'D') /* "DHATSNAP" */
		return true;
	if (fseek(file, 0, SEEK_SET) < 0)
		return false;
	begin[fread(begin, 1, sizeof(begin) - 1, file)] = 0;
	rewind(file);
	return strstr(begin, "\"dhatFileVersion\"");
}

int dhat_import(FILE *file, const char *path, struct dhat_snapshot **ret, struct dhat_error *err)
{
	if (first_of(file) == '{')
		return dhat_json_import(file, path, ret, err);
	return dhat_snapshot_read(file, path, ret, err);
}
