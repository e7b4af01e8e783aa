/* Names of generated code out of any file: it ends, and every number in the answer is in range.
 * Input: the file; the addresses are those that its first words say, and some that entries may
 * cover. */
#include "daemon/object/jit/jit_names.h"
#include "fuzz.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct names *, names_free)

#define COUNT 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = fuzz_file(data, size);
	_cleanup_(names_free_ptr) struct names *names = NULL;
	struct jit_query queries[COUNT] = { 0 };

	memcpy(queries, data, size < sizeof(queries) / 2 ? size : sizeof(queries) / 2);
	for (uint32_t i = COUNT / 2; i < COUNT; i++)
		queries[i].place.file_offset = 0x1000 * (i - COUNT / 2);
	for (uint32_t i = 0; i < COUNT; i++)
		queries[i].place.is_exact_pc = i & 1;
	FUZZ_CHECK(jit_name(fd, queries, COUNT, &names, NULL) == 0);
	for (uint32_t i = 0; i < COUNT; i++) {
		const struct name_frame *frame = &names->frames[i];

		FUZZ_CHECK(frame->location_count <= 1);
		if (frame->location_count)
			FUZZ_CHECK(names->locations[frame->first_location].function <
				   names->texts.count);
	}
	return 0;
}
