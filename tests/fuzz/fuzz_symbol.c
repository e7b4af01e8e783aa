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

/* Of the same places what they point to, and so on. */
static void ask_pointees(const uint8_t *data, size_t size)
{
	const struct pointee_query queries[] = {
		{ POINTEES_ROOT, 0x1000, 16, 16, 0 }, { POINTEES_ROOT, 0x2e08, 1, 1ull << 40, 8 },
		{ 0, POINTEES_NOWHERE, 8, 64, 1 },    { 0, 8, 24, 24, POINTEES_NOWHERE },
		{ 1, 0, 0, 0, UINT64_MAX - 1 },	      { 2, 8, UINT64_MAX - 1, UINT64_MAX - 1, 0 },
		{ 7, 8, 16, 16, POINTEES_NOWHERE },
	};
	uint32_t count = sizeof(queries) / sizeof(queries[0]);
	struct names *names = NULL;
	struct dhat_error err = {};

	if (data_pointees(fuzz_file(data, size), queries, count, NULL, &names, &err) < 0) {
		FUZZ_CHECK(err.code != DHAT_EXIT_OK);
		return;
	}
	check(names, count);
	names_free(names);
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
	ask_pointees(data, size);
	return 0;
}
