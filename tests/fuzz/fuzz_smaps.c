/* /proc/PID/smaps: paths in it are the target's choice. */
#include "daemon/proc/smaps.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smaps smaps = {};
	FILE *file = fdopen(dup(fuzz_file(data, size)), "r");

	FUZZ_CHECK(file);
	rewind(file);
	if (smaps_parse(file, &smaps) < 0)
		FUZZ_CHECK(smaps.count == 0 && !smaps.entries);
	FUZZ_CHECK(smaps.count <= size);
	for (size_t i = 0; i < smaps.count; i++) {
		FUZZ_CHECK(smaps.entries[i].start < smaps.entries[i].end);
		FUZZ_CHECK(memchr(smaps.entries[i].name, 0, sizeof(smaps.entries[i].name)));
	}
	smaps_deinit(&smaps);
	fclose(file);
	return 0;
}
