#include "import.h"

#include "dhat_json.h"
#include "proto/profile/snapshot_file.h"

int dhat_import(FILE *file, const char *path, struct dhat_snapshot **ret, struct dhat_error *err)
{
	int first = fgetc(file);

	if (first != EOF)
		ungetc(first, file);
	if (first == '{')
		return dhat_json_import(file, path, ret, err);
	return dhat_snapshot_read(file, path, ret, err);
}
