/* unit: paths of control groups as systemd makes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/proc/unit.h"
#include "proto/base/cleanup.h"

static const struct {
	const char *text, *unit;
} cases[] = {
	{ "0::/system.slice/nginx.service\n", "nginx.service" },
	{ "0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n",
	  "postgresql@15-main.service" },
	{ "0::/system.slice/a\\x2db.service/sub/group\n", "a\\x2db.service" },
	{ "0::/user.slice/user-1000.slice/user@1000.service/app.slice/notes.service\n",
	  "notes.service" },
	{ "12:memory:/\n1:name=systemd:/system.slice/ssh.service\n0::/x.service\n", "ssh.service" },
	{ "0::/user.slice/user-1000.slice/session-2.scope\n", "" },
	{ "0::/\n", "" },
	{ "", "" },
	{ "nonsense\n", "" },
	{ "0::/.service\n", "" },
	{ "0::/a.service.d/b\n", "" },
	{ "0::/system.slice/a\x1b[2J.service\n", "" },
	{ "0::/x.service", "x.service" },
};

static void test_paths(void **state)
{
	char unit[UNIT_CHARS], text[UNIT_CHARS + 64] = "0::/";

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unit_parse(cases[i].text, unit);
		assert_string_equal(unit, cases[i].unit);
	}
	memset(text + 4, 'a', UNIT_CHARS);
	strcpy(text + 4 + UNIT_CHARS, ".service\n");
	unit_parse(text, unit);
	assert_string_equal(unit, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
