/* What an ELF file tells about itself, when it lies. */
#include "daemon/object/elf/object.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {
		"malloc", "free", "_Znwm", "+0x1000", "*c", "m*", NULL
	};
	struct object *object = NULL;
	struct dhat_error err = {};
	uint64_t offset = 0;
	size_t i;

	if (object_describe(fuzz_file(data, size), names, NULL, &object, &err) < 0) {
		FUZZ_CHECK(!object && err.code != DHAT_EXIT_OK && err.message[0]);
		return 0;
	}
	FUZZ_CHECK(object->desc.build_id_size <= sizeof(object->desc.build_id));
	FUZZ_CHECK(memchr(object->desc.soname, 0, sizeof(object->desc.soname)));
	for (i = 0; i < object->symbol_count; i++) {
		FUZZ_CHECK(object->symbols[i].name);
		FUZZ_CHECK(object->symbols[i].code_size <= OBJECT_CODE_BYTES);
		FUZZ_CHECK(object->symbols[i].code_size <= size);
	}
	FUZZ_CHECK(object->sighting_count <= OBJECT_MAX_SIGHTINGS);
	for (i = 0; i < object->sighting_count; i++)
		FUZZ_CHECK(object->sightings[i].name[0]);
	for (i = 0; i < object->desc.segment_count; i++)
		object_offset_of_vaddr(object, object->desc.segments[i].vaddr, &offset);
	object_free(object);
	return 0;
}
