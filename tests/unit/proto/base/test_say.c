/* say: one clean line, with its level where a journal reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/say.h"

static char printed[512];

/* What `speak` says on the standard error. */
static const char *caught(void (*speak)(void))
{
	FILE *file = tmpfile();
	int error = dup(2);

	dup2(fileno(file), 2);
	speak();
	dup2(error, 2);
	close(error);
	rewind(file);
	printed[fread(printed, 1, sizeof(printed) - 1, file)] = '\0';
	fclose(file);
	return printed;
}

static void speak(void)
{
	dhat_say("dhatd", "attached to %d", 12);
	dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s", "a\n<0>forged");
}

static void speak_of_two(void)
{
	dhat_say("dhatd", "attached to %d", 12);
	dhat_say("dhatd", "  glibc 2.36");
}

/* Of a service: what is indented belongs to the line before. */
static void test_times(void **state)
{
	int year, rest = 0;

	dhat_say_times(true);
	caught(speak_of_two);
	dhat_say_times(false);
	sscanf(printed, "dhatd: %4d-%*2d-%*2d %*2d:%*2d:%*2d %n", &year, &rest);
	assert_int_equal(rest, strlen("dhatd: 2026-11-30 04:00:00 "));
	assert_string_equal(printed + rest, "attached to 12\ndhatd:   glibc 2.36\n");
}

static void test_levels(void **state)
{
	assert_string_equal(caught(speak), "dhatd: attached to 12\ndhatd: a?<0>forged\n");
	dhat_say_levels(true);
	assert_string_equal(caught(speak), "<6>dhatd: attached to 12\n<3>dhatd: a?<0>forged\n");
	dhat_say_levels(false);
	assert_string_equal(caught(speak), "dhatd: attached to 12\ndhatd: a?<0>forged\n");
}

static void speak_in_passing(void)
{
	dhat_say_passing("reading a\033[2J: 2 s");
	dhat_say_passing(NULL);
}

static void test_passing(void **state)
{
	assert_string_equal(caught(speak_in_passing), "\r\033[Kreading a?[2J: 2 s\r\033[K");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_passing),
	};

	return cmocka_run_group_tests_name("say", tests, NULL, NULL);
}
