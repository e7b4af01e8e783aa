#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "daemon/target/findings.h"

static void test_a_sentence_is_kept_once_and_a_finding_replaced(void **state)
{
	struct findings findings;

	findings_init(&findings);
	assert_int_equal(findings_note(&findings, "it is stopped"), 0);
	assert_int_equal(findings_note(&findings, "it copies its code"), 0);
	assert_int_equal(findings_note(&findings, "it is stopped"), 0);
	assert_string_equal(findings.notes[0], "it is stopped");
	assert_string_equal(findings.notes[1], "it copies its code");
	assert_null(findings.notes[2]);
	assert_int_equal(findings_partial(&findings, "heap", 100, "%d%% of it", 7), 0);
	assert_int_equal(findings_partial(&findings, "heap", 200, "%s", "100%s of it"), 0);
	assert_int_equal(findings.partials.count, 1);
	assert_int_equal(findings.partials.list[0].bytes, 200);
	assert_string_equal(findings.partials.list[0].text, "100%s of it");
	findings_deinit(&findings);
}

static void test_another_try_forgets_what_was_probed_but_not_what_was_said(void **state)
{
	struct findings findings;

	findings_init(&findings);
	findings_note(&findings, "it is stopped");
	findings_partial(&findings, "heap", 0, "not counted");
	findings_forget(&findings);
	assert_int_equal(findings.partials.count, 0);
	assert_string_equal(findings.notes[0], "it is stopped");
	assert_null(findings.notes[1]);
	findings_deinit(&findings);
}

/* What comes with a time or an address comes again and again. */
static void test_there_are_no_more_notes_than_there_is_room_for(void **state)
{
	struct findings findings;
	char text[32];
	size_t count = 0;

	findings_init(&findings);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "gone at %d", i);
		assert_int_equal(findings_note(&findings, text), 0);
	}
	while (findings.notes[count])
		count++;
	assert_int_equal(count, FINDINGS_MAX_NOTES);
	assert_string_equal(findings.notes[0], "gone at 0");
	assert_string_equal(findings.notes[count - 2], "gone at 126");
	assert_string_equal(findings.notes[count - 1],
			    "873 more notes were left out: there is room for 127");
	findings_deinit(&findings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_sentence_is_kept_once_and_a_finding_replaced),
		cmocka_unit_test(test_another_try_forgets_what_was_probed_but_not_what_was_said),
		cmocka_unit_test(test_there_are_no_more_notes_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
