/* A build's conditions, and the baseline that they refer to: a text before the first 0, a file
 * behind it. */
#include "fuzz.h"
#include "proto/base/text.h"
#include "proto/profile/assertion.h"
#include "proto/profile/baseline.h"

static void check_figures(const struct dhat_assertion *assertion)
{
	static const uint64_t figures[] = { 0, 1, 1000, UINT64_MAX / 2, UINT64_MAX };
	struct dhat_assertion opposite = *assertion;

	/* in the order of enum dhat_comparison */
	opposite.comparison = (enum dhat_comparison[]){
		DHAT_NOT_EQUAL, DHAT_EQUAL, DHAT_MORE, DHAT_LESS, DHAT_AT_LEAST, DHAT_AT_MOST
	}[assertion->comparison];
	for (size_t i = 0; i < 25; i++) {
		uint64_t now = figures[i / 5], baseline = figures[i % 5];

		FUZZ_CHECK(dhat_assertion_holds(assertion, now, baseline) !=
			   dhat_assertion_holds(&opposite, now, baseline));
		/* where no baseline is needed none is looked at */
		FUZZ_CHECK(dhat_assertion_needs_baseline(assertion) ||
			   dhat_assertion_holds(assertion, now, baseline) ==
				   dhat_assertion_holds(assertion, now, 0));
	}
}

static void check_text(const char *text)
{
	struct dhat_assertion_fault fault = { 0 };
	struct dhat_assertion assertion = { 0 }, again = { 0 };
	char *caret;
	int r = dhat_assertion_parse(text, &assertion, &fault);

	if (r == 0) {
		FUZZ_CHECK(!strcmp(assertion.text, text) && assertion.denominator);
		FUZZ_CHECK(!assertion.pattern || *assertion.pattern);
		FUZZ_CHECK(dhat_assertion_parse(assertion.text, &again, &fault) == 0);
		check_figures(&assertion);
		dhat_assertion_deinit(&again);
	} else {
		FUZZ_CHECK(!assertion.text && fault.message[0] && fault.length);
		FUZZ_CHECK(fault.at <= strlen(text));
		caret = dhat_assertion_caret(text, &fault, 0);
		FUZZ_CHECK(caret && strspn(caret, " ") == dhat_text_width(text) -
								  dhat_text_width(text + fault.at));
		free(caret);
	}
	dhat_assertion_deinit(&assertion);
}

static void check_baseline(const uint8_t *data, size_t size)
{
	FILE *file = fdopen(dup(fuzz_file(data, size)), "r");
	struct dhat_digest *digest = NULL;
	struct dhat_error err = { 0 };

	FUZZ_CHECK(file);
	if (dhat_baseline_read(file, "fuzz", &digest, &err) < 0)
		FUZZ_CHECK(!digest && err.code == DHAT_EXIT_BAD_FILE);
	/* G1 */
	for (size_t i = 0; digest && i < digest->row_count; i++)
		FUZZ_CHECK(dhat_digest_find(digest, &digest->rows[i]) == &digest->rows[i]);
	dhat_digest_free(digest);
	fclose(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	size_t length;

	FUZZ_CHECK(text);
	length = strlen(text);
	check_text(text);
	if (length < size)
		check_baseline(data + length + 1, size - length - 1);
	free(text);
	return 0;
}
