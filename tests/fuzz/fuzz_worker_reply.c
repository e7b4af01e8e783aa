/* What a worker that was taken over may send: descriptions, tables, names. */
#include "daemon/object/dwarf/names.h"
#include "daemon/worker/worker_pack.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader reader = { .data = data, .size = size };
	struct object_desc *desc = NULL;
	struct cfi_table *table = NULL;
	struct names *names = NULL;
	uint64_t offset, i;

	if (pack_get_desc(&reader, &desc) == 0) {
		for (i = 0; i < desc->segment_count; i++)
			object_offset_of_vaddr(desc, desc->segments[i].vaddr, &offset);
		object_desc_free(desc);
	}
	reader = (struct wire_reader){ .data = data, .size = size };
	if (pack_get_table(&reader, 1000, &table) == 0) {
		for (i = 0; i < 1 << 20; i += 509)
			cfi_table_find(table, table->first_page_vaddr + i);
		cfi_table_free(table);
	}
	reader = (struct wire_reader){ .data = data, .size = size };
	if (names_get(&reader, 3, &names) == 0) {
		for (i = 0; i < names->location_count; i++) {
			FUZZ_CHECK(names->locations[i].function < names->texts.count);
			FUZZ_CHECK(names->locations[i].file < names->texts.count);
		}
		names_free(names);
	}
	return 0;
}
