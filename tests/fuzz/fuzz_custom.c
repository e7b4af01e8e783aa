/* --alloc, --free, --realloc: texts of a client, a line each. */
#include "daemon/object/sites/custom.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *rest = text, *texts[5] = { NULL };
	struct dhat_error err = { 0 };
	struct customs *customs = NULL;
	size_t count = 0;

	FUZZ_CHECK(text);
	while (count < 4 && (texts[count] = strsep(&rest, "\n")))
		count++;
	texts[count] = NULL;
	if (customs_new(texts, &customs, &err) < 0) {
		FUZZ_CHECK(!customs && err.code != DHAT_EXIT_OK && err.message[0]);
	} else {
		FUZZ_CHECK(customs->count == count);
		for (size_t i = 0; i < count; i++) {
			struct custom *custom = &customs->list[i];

			FUZZ_CHECK(custom->binary[0] && custom->symbol[0]);
			FUZZ_CHECK(!custom_is_in(custom, ""));
			FUZZ_CHECK(custom_is_in(custom, custom->binary));
		}
	}
	customs_free(customs);
	free(text);
	return 0;
}
