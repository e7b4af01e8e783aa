/* What an ELF file tells about itself, when it lies. */
#include "daemon/object/elf/object.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {
		"malloc", "free", "_Znwm", "+0x1000", "*c", "m*", NULL
	};
	struct object_desc *desc = NULL;
	struct dhat_error err = {};
	uint64_t offset = 0;
	size_t i;

	if (object_describe(fuzz_file(data, size), names, &desc, &err) < 0) {
		FUZZ_CHECK(!desc && err.code != DHAT_EXIT_OK && err.message[0]);
		return 0;
	}
	FUZZ_CHECK(desc->build_id_size <= sizeof(desc->build_id));
	FUZZ_CHECK(memchr(desc->soname, 0, sizeof(desc->soname)));
	for (i = 0; i < desc->symbol_count; i++) {
		FUZZ_CHECK(desc->symbols[i].name);
		FUZZ_CHECK(desc->symbols[i].code_size <= OBJECT_CODE_BYTES);
		FUZZ_CHECK(desc->symbols[i].code_size <= size);
	}
	FUZZ_CHECK(desc->sighting_count <= OBJECT_MAX_SIGHTINGS);
	for (i = 0; i < desc->sighting_count; i++)
		FUZZ_CHECK(desc->sightings[i].name[0]);
	for (i = 0; i < desc->segment_count; i++)
		object_offset_of_vaddr(desc, desc->segments[i].vaddr, &offset);
	object_desc_free(desc);
	return 0;
}
