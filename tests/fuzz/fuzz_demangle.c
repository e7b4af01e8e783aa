/* Symbol names. */
#include "daemon/object/dwarf/demangle.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *name = strndup((const char *)data, size), *plain;

	FUZZ_CHECK(name);
	plain = demangle(name);
	FUZZ_CHECK(!plain || strlen(plain) <= DEMANGLE_MAX_BYTES);
	free(plain);
	free(name);
	return 0;
}
