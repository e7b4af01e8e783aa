/* Names out of symbol tables and DWARF of hostile files: of code, and of variables and their
 * members. */
#include "daemon/object/dwarf/data_naming.h"
#include "daemon/object/dwarf/naming.h"
#include "fuzz.h"

static void check(const struct names *names, uint32_t count)
{
	const struct name_frame *frame;
	const struct name_location *at;
	uint32_t i, j;

	FUZZ_CHECK(names->frame_count == count);
	for (i = 0; i < count; i++) {
		frame = &names->frames[i];
		FUZZ_CHECK(frame->reason < names->texts.count);
		FUZZ_CHECK((uint64_t)frame->first_location + frame->location_count <=
			   names->location_count);
		for (j = 0; j < frame->location_count; j++) {
			at = &names->locations[frame->first_location + j];
			FUZZ_CHECK(at->function < names->texts.count &&
				   at->linkage_name < names->texts.count &&
				   at->file < names->texts.count);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct name_query queries[] = {
		{ 0, false },	   { 0x1000, true }, { 0x1010, false },
		{ 0x1fff, false }, { 0x2e08, true }, { 1ull << 63, true },
	};
	uint32_t count = sizeof(queries) / sizeof(queries[0]);
	struct names *names = NULL;
	struct dhat_error err = {};

	if (symbol_name(fuzz_file(data, size), queries, count, false, NULL, &names, &err) < 0) {
		FUZZ_CHECK(err.code != DHAT_EXIT_OK);
		return 0;
	}
	check(names, count);
	names_free(names);
	err = (struct dhat_error){};
	if (data_name(fuzz_file(data, size), queries, count, true, NULL, &names, &err) < 0) {
		FUZZ_CHECK(err.code != DHAT_EXIT_OK);
		return 0;
	}
	check(names, count);
	names_free(names);
	return 0;
}
