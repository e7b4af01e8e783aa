/* Names of functions, shortened for tables, and patterns that are looked for in them. */
#include "fuzz.h"
#include "proto/base/text.h"
#include "proto/profile/function_name.h"
#include "proto/profile/pattern.h"

/* N1: every run of letters in what is shown is a whole one of the name. */
static void check_words(const char *name, const char *shown)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	for (const char *at = shown + strcspn(shown, letters); *at; at += strcspn(at, letters)) {
		size_t length = strspn(at, letters);
		const char *found = name;
		char *word = strndup(at, length);

		FUZZ_CHECK(word);
		while ((found = strstr(found, word)) &&
		       ((found > name && strchr(letters, found[-1])) ||
			(found[length] && strchr(letters, found[length]))))
			found++;
		/* two that a default had stood between would be one now */
		FUZZ_CHECK(found || strstr(name, "std::"));
		free(word);
		at += length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t columns = size ? data[0] : 0;
	char *name = strndup((const char *)data, size), *shorter, *fitting, *again;

	FUZZ_CHECK(name);
	shorter = dhat_short_name(name);
	fitting = dhat_fitting_name(shorter, columns);
	again = dhat_fitting_name(fitting, columns);
	FUZZ_CHECK(shorter && fitting && again);
	FUZZ_CHECK(dhat_name_begin(name) <= name + strlen(name));
	FUZZ_CHECK(dhat_text_width(fitting) <= dhat_text_width(shorter));
	FUZZ_CHECK(!*name || *fitting);
	check_words(name, shorter);
	check_words(name, fitting);
	/* what is in a text is found in it */
	FUZZ_CHECK(strpbrk(name, "^$") || dhat_pattern_matches(name, name));
	free(name);
	free(shorter);
	free(fitting);
	free(again);
	return 0;
}
