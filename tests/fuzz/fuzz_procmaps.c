/* /proc/PID/maps: paths in it are the target's choice. */
#include "daemon/proc/procmaps.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct procmaps maps = {};
	size_t i, bad = 0;

	if (procmaps_parse((const char *)data, size, &maps, &bad) < 0)
		return 0;
	FUZZ_CHECK(maps.count + bad <= size + 1);
	for (i = 0; i < maps.count; i++) {
		FUZZ_CHECK(maps.entries[i].start <= maps.entries[i].end);
		FUZZ_CHECK(maps.entries[i].path && strlen(maps.entries[i].path) <= size);
	}
	procmaps_deinit(&maps);
	return 0;
}
