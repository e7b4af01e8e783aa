/* What a process is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/base/program.h"

static void test_names(void **state)
{
	static const struct {
		const char *command, *executable, *name;
	} cases[] = {
		{ "/usr/sbin/nginx -g daemon off;", "/usr/sbin/nginx", "nginx" },
		{ "nginx: worker process", "/usr/sbin/nginx", "nginx" },
		{ "redis-server 127.0.0.1:6379", "/usr/bin/redis-check-rdb", "redis-server" },
		{ "psql postgres://me:secret@host/db", "/usr/bin/psql", "psql" },
		{ "/opt/My App/bin/it --token x/y", "/opt/My App/bin/it", "it" },
		{ "/opt/My App/bin/it", "/opt/My App/bin/it", "it" },
		{ "-bash", "/usr/bin/bash", "-bash" },
		{ "", "/usr/bin/cat", "cat" },
		{ "", "", "?" },
		{ "/", "", "?" },
		{ ":", "", ":" },
	};
	char ret[DHAT_PROGRAM_CHARS], many[400];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(dhat_program_name(cases[i].command, cases[i].executable, ret),
				    cases[i].name);
	/* cut between characters */
	for (size_t i = 0; i < 100; i++)
		memcpy(many + 3 * i, "\xe2\x82\xac", 4);
	assert_int_equal(strlen(dhat_program_name(many, "", ret)), 63);
	many[299] = '\0'; /* and what is no UTF-8 does no harm */
	dhat_program_name(many + 1, "", ret);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_names) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
