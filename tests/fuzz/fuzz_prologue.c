/* Machine code of the target's allocators. */
#include "daemon/object/machine/probe_place.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct prologue_options options = {};
	struct prologue_exits exits = {};
	struct prologue_site site = {};
	size_t i;

	if (!size)
		return 0;
	options.for_return = data[0] & 1;
	options.may_fork = data[0] & 2;
	options.arg_mask = data[0] >> 2 & 7;
	data++;
	size--;
	if (prologue_choose(data, size, 0x401000, &options, &site) == 0) {
		FUZZ_CHECK(site.offset < size && site.length && site.length <= 15);
		FUZZ_CHECK(site.offset + site.length <= size);
		FUZZ_CHECK(memchr(site.instruction, 0, sizeof(site.instruction)));
		FUZZ_CHECK(memchr(site.note, 0, sizeof(site.note)));
	}
	if (prologue_find_exits(data, size, 0x401000, NULL, 0, &exits) == 0) {
		for (i = 0; i < exits.ret_count; i++) {
			FUZZ_CHECK(exits.rets[i] < size);
			FUZZ_CHECK(i == 0 || exits.rets[i - 1] < exits.rets[i]);
		}
		prologue_exits_deinit(&exits);
	}
	return 0;
}
