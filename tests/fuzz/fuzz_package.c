/* Units out of packages of split debug files. */
#include <elfutils/libdw.h>

#include "daemon/object/dwarf/package.h"
#include "fuzz.h"

/* A hash that stands in the index. */
#define MAX_TRIES 512

static void read_units(const struct elf_image *image)
{
	Dwarf *dwarf = dwarf_begin_elf(image->elf, DWARF_C_READ, NULL);
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;

	FUZZ_CHECK(image->size <= ELF_IMAGE_MAX_BYTES);
	while (dwarf && dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &die, NULL) == 0)
		dwarf_diename(&die);
	dwarf_end(dwarf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct package *package = package_open(dup(fuzz_file(data, size)));
	struct elf_image image;

	for (size_t at = 0; package && at + 8 <= size && at < 8 * MAX_TRIES; at += 8) {
		uint64_t id;

		memcpy(&id, data + size - 8 - at, sizeof(id));
		if (package_cut(package, id, &image))
			continue;
		read_units(&image);
		elf_image_deinit(&image);
	}
	package_free(package);
	return 0;
}
