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

static void test_scripts(void **state)
{
	static const struct {
		const char *command, *executable, *script, *full;
		bool is_code;
	} cases[] = {
		{ "/usr/bin/python3 /srv/a/worker.py --x", "/usr/bin/python3.11",
		  "/srv/a/worker.py", "python3 worker.py", false },
		{ "python3 -u -X dev /srv/a.py b.py", "/usr/bin/python3.11", "/srv/a.py",
		  "python3 a.py", false },
		{ "python3 -m celery -A app", "/usr/bin/python3.11 (deleted)", "celery",
		  "python3 celery", false },
		{ "python3 -c import time; time.sleep(9)", "/usr/bin/python3.11",
		  "import time; time.sleep(9)", "python3", true },
		{ "python3", "/usr/bin/python3.11", "", "python3", false },
		{ "gunicorn: master [shop]", "/usr/bin/python3.11", "gunicorn:", "gunicorn",
		  false },
		{ "node --title web -r ./t.js server.js", "/usr/bin/node", "server.js",
		  "node server.js", false },
		{ "java -Xmx1g -cp a.jar:b.jar com.x.Main", "/usr/lib/jvm/17/bin/java",
		  "com.x.Main", "java com.x.Main", false },
		{ "java -jar /opt/app.jar", "/usr/lib/jvm/17/bin/java", "/opt/app.jar",
		  "java app.jar", false },
		{ "dotnet exec shop.dll", "/usr/bin/dotnet", "shop.dll", "dotnet shop.dll", false },
		{ "php8.2 -d a=b /x.php", "/usr/bin/php8.2", "/x.php", "php8.2 x.php", false },
		{ "-bash", "/usr/bin/bash", "", "-bash", false },
		{ "bash ./run.sh", "", "./run.sh", "bash run.sh", false },
		{ "/opt/beam.smp -A 64 -- -root /x", "/opt/beam.smp", "-A 64 -- -root /x",
		  "beam.smp", true },
		{ "/usr/sbin/nginx -g x", "/usr/sbin/nginx", "", "nginx", false },
		{ "pythonic x", "/usr/bin/pythonic", "", "pythonic", false },
		{ "", "/usr/bin/python3", "", "python3", false },
		{ "python3 -X", "/usr/bin/python3", "", "python3", false },
		{ "python3 -m", "/usr/bin/python3", "", "python3", false },
	};
	char full[2 * DHAT_PROGRAM_CHARS];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct dhat_script script =
			dhat_program_script(cases[i].command, cases[i].executable);

		if (script.length != strlen(cases[i].script) ||
		    script.is_code != cases[i].is_code ||
		    (script.length && memcmp(script.text, cases[i].script, script.length) != 0))
			fail_msg("%s runs %.*s", cases[i].command, (int)script.length, script.text);
		assert_string_equal(
			dhat_program_full_name(cases[i].command, cases[i].executable, full),
			cases[i].full);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_names),
					    cmocka_unit_test(test_scripts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
