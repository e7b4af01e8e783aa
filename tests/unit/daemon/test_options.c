/* dhatd's command line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/options.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

/* Parses with stdout and stderr caught in `printed`. */
static char printed[65536];

static int parse(struct dhatd_options *options, const char *const *args)
{
	static char *argv[32]; /* what is behind "--" points into it */
	int argc = 1, out = dup(1), error = dup(2), r;
	_cleanup_fclose_ FILE *file = tmpfile();

	memset(argv, 0, sizeof(argv));
	argv[0] = "dhatd";
	for (; *args; args++)
		argv[argc++] = without_qualifiers(*args);
	fflush(stdout);
	dup2(fileno(file), 1);
	dup2(fileno(file), 2);
	r = dhatd_options_parse(argc, argv, options);
	fflush(stdout);
	fflush(stderr);
	dup2(out, 1);
	dup2(error, 2);
	close(out);
	close(error);
	rewind(file);
	printed[fread(printed, 1, sizeof(printed) - 1, file)] = 0;
	return r;
}

#define PARSE(options, ...) parse(options, (const char *const[]){ __VA_ARGS__, NULL })

static void test_attach(void **state)
{
	struct dhatd_options options;

	assert_int_equal(PARSE(&options, "attach", "--pid", "12", "-p", "34", "--pid=12"), 0);
	assert_int_equal(options.command, DHATD_ATTACH);
	assert_int_equal(options.pid_count, 2);
	assert_int_equal(options.pids[0], 12);
	assert_int_equal(options.pids[1], 34);
	assert_string_equal(options.socket_path, DHATD_DEFAULT_SOCKET);
	assert_null(options.output_path);
	assert_null(options.group);
	assert_int_equal(options.target.ring_bytes, 0);
	assert_null(options.target.custom);
	dhatd_options_deinit(&options);

	assert_int_equal(PARSE(&options, "attach", "--name", "^ngi[n]x$"), 0);
	assert_string_equal(options.match.name_regex, "^ngi[n]x$");
	assert_null(options.match.command_regex);
	assert_int_equal(options.max_targets, 0);
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "plan", "--container", "docker://3f2a9c1b7d4e"), 0);
	assert_string_equal(options.match.container, "docker://3f2a9c1b7d4e");
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "attach", "--cgroup", "/sys/fs/cgroup/a", "--command",
			       "app.py", "--max-targets", "40"),
			 0);
	assert_string_equal(options.match.cgroup_path, "/sys/fs/cgroup/a");
	assert_string_equal(options.match.command_regex, "app.py");
	assert_int_equal(options.max_targets, 40);
	dhatd_options_deinit(&options);
}

/* What is to be done about a target meanwhile. */
static void test_watch(void **state)
{
	struct dhatd_options options;
	const struct watch_settings *settings = &options.watch.settings;

	setenv("STATE_DIRECTORY", "/var/lib/unit", 1);
	assert_int_equal(PARSE(&options, "attach", "12", "--on", "rss>2GiB", "--on", "exit",
			       "--exec", "/bin/mail root", "--every", "10m", "--keep", "5",
			       "--max-overhead", "2.5%"),
			 0);
	assert_int_equal(settings->trigger_count, 2);
	assert_string_equal(settings->triggers[1].text, "exit");
	assert_string_equal(settings->command, "/bin/mail root");
	assert_int_equal(settings->every_ns, 600000000000ull);
	assert_int_equal(settings->keep, 5);
	assert_int_equal(settings->max_overhead.hundredths, 250);
	assert_true(watch_keeps(settings));
	assert_string_equal(watch_folder(&options.watch), "/var/lib/unit");
	dhatd_options_deinit(&options);
	unsetenv("STATE_DIRECTORY");
	assert_int_equal(PARSE(&options, "serve", "--max-memory=64M"), 0);
	assert_int_equal(options.target.max_memory_bytes, 64 << 20);
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "serve", "--max-memory=1M"), -EINVAL);
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "serve"), 0);
	assert_false(watch_keeps(settings));
	assert_string_equal(watch_folder(&options.watch), WATCH_DEFAULT_FOLDER);
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "run", "--record", "/tmp/x", "--on", "oom", "--", "true"),
			 0);
	assert_string_equal(watch_folder(&options.watch), "/tmp/x");
	dhatd_options_deinit(&options);
}

/* What everybody types. */
static void test_bare_pid_and_options_first(void **state)
{
	struct dhatd_options options;

	assert_int_equal(PARSE(&options, "attach", "12", "-o", "x.json", "34"), 0);
	assert_int_equal(options.pid_count, 2);
	assert_int_equal(options.pids[1], 34);
	assert_string_equal(options.output_path, "x.json");
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "--socket", "/tmp/s", "-o", "x.json", "attach", "12"), 0);
	assert_int_equal(options.command, DHATD_ATTACH);
	assert_string_equal(options.socket_path, "/tmp/s");
	assert_string_equal(options.output_path, "x.json");
	assert_int_equal(options.pids[0], 12);
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "-o", "x.json", "run", "--", "prog", "serve"), 0);
	assert_int_equal(options.command, DHATD_RUN);
	assert_string_equal(options.program[1], "serve");
	dhatd_options_deinit(&options);
	/* a command's name as the value of an option is none */
	assert_int_equal(PARSE(&options, "--name", "run", "-o", "serve", "attach"), 0);
	assert_int_equal(options.command, DHATD_ATTACH);
	assert_string_equal(options.match.name_regex, "run");
	assert_string_equal(options.output_path, "serve");
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "--name=run", "plan"), 0);
	assert_int_equal(options.command, DHATD_PLAN);
	dhatd_options_deinit(&options);
}

static void test_plan(void **state)
{
	struct dhatd_options options;

	assert_int_equal(PARSE(&options, "plan", "7", "--pid", "8", "--json", "--anonymous"), 0);
	assert_int_equal(options.command, DHATD_PLAN);
	assert_int_equal(options.pid_count, 2);
	assert_true(options.as_json);
	assert_true(options.target.anonymous_memory);
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "plan", "--name", "x"), 0);
	assert_string_equal(options.match.name_regex, "x");
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "plan"), -EINVAL);
	dhatd_options_deinit(&options);
}

static void test_repair(void **state)
{
	struct dhatd_options options;

	assert_int_equal(PARSE(&options, "repair", "--pid", "7", "8", "--json"), 0);
	assert_int_equal(options.command, DHATD_REPAIR);
	assert_int_equal(options.pid_count, 2);
	assert_int_equal(options.pids[1], 8);
	assert_true(options.as_json);
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "repair"), -EINVAL);
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "repair", "--pid", "7", "--output", "x"), -EINVAL);
	dhatd_options_deinit(&options);
}

static void test_debuginfod(void **state)
{
	struct dhatd_options options;

	unsetenv("DEBUGINFOD_URLS");
	assert_int_equal(PARSE(&options, "serve"), 0);
	assert_null(options.debuginfod_urls); /* opt-in */
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "serve", "--debuginfod"), -EINVAL);
	dhatd_options_deinit(&options);
	setenv("DEBUGINFOD_URLS", "http://one http://two", 1);
	assert_int_equal(PARSE(&options, "serve"), 0);
	assert_null(options.debuginfod_urls);
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "serve", "--debuginfod"), 0);
	assert_string_equal(options.debuginfod_urls, "http://one http://two");
	assert_int_equal(options.debuginfod_seconds, 0);
	dhatd_options_deinit(&options);
	assert_int_equal(
		PARSE(&options, "serve", "--debuginfod=http://three", "--debuginfod-seconds", "7"),
		0);
	assert_string_equal(options.debuginfod_urls, "http://three");
	assert_int_equal(options.debuginfod_seconds, 7);
	dhatd_options_deinit(&options);
	unsetenv("DEBUGINFOD_URLS");
}

static void test_all_target_options(void **state)
{
	struct dhatd_options options;

	assert_int_equal(PARSE(&options, "attach", "-p", "1", "--output", "x.json", "--ring-size",
			       "1M", "--link", "perf", "--alloc", "bin:a(size=arg1)", "--free",
			       "bin:f(ptr=arg1)", "--realloc", "bin+0x12(ptr=arg1,size=arg2)",
			       "--group", "staff", "--follow-fork", "--follow-exec", "--anonymous",
			       "--no-inventory", "--lifetimes", "--no-return-probes",
			       "--max-memory", "64M", "--socket", "/tmp/s"),
			 0);
	assert_string_equal(options.output_path, "x.json");
	assert_int_equal(options.target.ring_bytes, 1 << 20);
	assert_string_equal(options.target.link, "perf");
	assert_string_equal(options.target.custom[0], "alloc:bin:a(size=arg1)");
	assert_string_equal(options.target.custom[1], "free:bin:f(ptr=arg1)");
	assert_string_equal(options.target.custom[2], "realloc:bin+0x12(ptr=arg1,size=arg2)");
	assert_null(options.target.custom[3]);
	assert_string_equal(options.group, "staff");
	assert_true(options.target.follow_fork);
	assert_true(options.target.follow_exec);
	assert_true(options.target.anonymous_memory);
	assert_true(options.target.skip_inventory);
	assert_true(options.target.with_lifetimes);
	assert_true(options.target.no_return_probes);
	assert_int_equal(options.target.max_memory_bytes, 64 << 20);
	assert_string_equal(options.socket_path, "/tmp/s");
	dhatd_options_deinit(&options);
}

static void test_run_leaves_the_programs_options_alone(void **state)
{
	struct dhatd_options options;

	assert_int_equal(PARSE(&options, "run", "-o", "x", "--", "prog", "--pid", "-x"), 0);
	assert_int_equal(options.command, DHATD_RUN);
	assert_string_equal(options.program[0], "prog");
	assert_string_equal(options.program[1], "--pid");
	assert_string_equal(options.program[2], "-x");
	assert_null(options.program[3]);
	dhatd_options_deinit(&options);

	/* without the two dashes: the first word that is no option is the program */
	assert_int_equal(PARSE(&options, "run", "prog", "--help"), 0);
	assert_string_equal(options.program[0], "prog");
	assert_string_equal(options.program[1], "--help");
	assert_string_equal(printed, "");
	dhatd_options_deinit(&options);
}

static void test_run_with_conditions(void **state)
{
	struct dhatd_options options;

	assert_int_equal(PARSE(&options, "run", "--assert", "live.bytes == 0", "--assert=growth<1k",
			       "--baseline", "b", "--allow", "inexact", "--junit", "j", "--github",
			       "--exclude", "x", "--follow-fork", "--", "prog", "--assert"),
			 0);
	assert_int_equal(options.gate.count, 2);
	assert_string_equal(options.gate.assertions[1].text, "growth<1k");
	assert_string_equal(options.gate.baseline_path, "b");
	assert_string_equal(options.gate.junit_path, "j");
	assert_true(options.gate.may_be_partial && options.gate.may_be_inexact);
	assert_true(options.gate.is_github);
	assert_int_equal(options.gate.filter.count, 1);
	assert_true(options.target.follow_fork);
	assert_string_equal(options.program[1], "--assert");
	dhatd_options_deinit(&options);

	assert_int_equal(PARSE(&options, "run", "--allow", "partial", "prog"), 0);
	assert_true(options.gate.may_be_partial && !options.gate.may_be_inexact);
	assert_true(dhat_gate_is_asked(&options.gate));
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "run", "prog"), 0);
	assert_false(dhat_gate_is_asked(&options.gate));
	dhatd_options_deinit(&options);
}

static void test_socket_from_the_environment(void **state)
{
	struct dhatd_options options;

	setenv(DHATD_SOCKET_VARIABLE, "/tmp/env", 1);
	assert_int_equal(PARSE(&options, "serve"), 0);
	assert_int_equal(options.command, DHATD_SERVE);
	assert_string_equal(options.socket_path, "/tmp/env");
	dhatd_options_deinit(&options);
	assert_int_equal(PARSE(&options, "serve", "--socket", "/tmp/opt"), 0);
	assert_string_equal(options.socket_path, "/tmp/opt");
	dhatd_options_deinit(&options);
	setenv(DHATD_SOCKET_VARIABLE, "", 1);
	assert_int_equal(PARSE(&options, "serve"), 0);
	assert_string_equal(options.socket_path, DHATD_DEFAULT_SOCKET);
	dhatd_options_deinit(&options);
	unsetenv(DHATD_SOCKET_VARIABLE);
}

static void test_help_and_version(void **state)
{
	static const char *const commands[] = { "attach", "run", "serve" }, *const helps[] = {
		"--help", "-h", "-?", "help"
	};
	struct dhatd_options options;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		assert_int_equal(PARSE(&options, commands[i], "--help"), 0);
		assert_int_equal(options.command, DHATD_DONE);
		assert_non_null(strstr(printed, "Usage: dhatd "));
		assert_non_null(strstr(printed, "--socket=PATH"));
		assert_non_null(strstr(printed, "--help"));
		dhatd_options_deinit(&options);
	}
	for (size_t i = 0; i < ARRAY_SIZE(helps); i++) {
		assert_int_equal(PARSE(&options, helps[i]), 0);
		assert_non_null(strstr(printed, "dhatd COMMAND --help lists"));
		assert_int_equal(PARSE(&options, helps[i], "plan"), 0);
		assert_int_equal(options.command, DHATD_DONE);
		assert_non_null(strstr(printed, "Usage: dhatd plan "));
		dhatd_options_deinit(&options);
	}
	assert_int_equal(PARSE(&options, "attach", "-h"), 0);
	assert_non_null(strstr(printed, "Usage: dhatd attach "));
	assert_int_equal(PARSE(&options, "repair", "-h"), 0);
	assert_non_null(strstr(printed, "Usage: dhatd repair "));
	assert_int_equal(PARSE(&options, "run", "--usage"), 0);
	assert_int_equal(options.command, DHATD_DONE);
	assert_non_null(strstr(printed, "Usage: dhatd run "));
	assert_int_equal(PARSE(&options, "--help"), 0);
	assert_int_equal(options.command, DHATD_DONE);
	assert_non_null(strstr(printed, "serve"));
	assert_int_equal(PARSE(&options, "--version"), 0);
	assert_string_equal(printed, "dhatd " DHAT_VERSION "\n");
	assert_int_equal(PARSE(&options, "attach", "--version"), 0);
	assert_string_equal(printed, "dhatd " DHAT_VERSION "\n");
	dhatd_options_deinit(&options);
}

/* Each wrong command line, and a word of what is said about it. */
static void test_wrong_command_lines(void **state)
{
	static const struct {
		const char *args[6], *said;
	} cases[] = {
		{ { NULL }, "a command is missing" },
		{ { "frobnicate" }, "frobnicate: no such command" },
		{ { "--pid", "1" }, "a command is missing" },
		{ { "atach", "1" }, "atach: no such command; did you mean attach?" },
		{ { "attach" }, "give --pid, --name, --command, --cgroup, --unit or --container" },
		{ { "attach", "nginx" }, "nginx: not a process id; processes are found by --name" },
		{ { "attach", "--name", "x", "--max-targets", "0" }, "not a number from 1 on" },
		{ { "attach", "1", "--on", "rs>1G" },
		  "--on 'rs>1G': there is no rs; did you mean rss?" },
		{ { "attach", "1", "--every", "often" }, "a duration is wanted" },
		{ { "attach", "1", "--keep", "0" }, "not a number from 1 to 1000" },
		{ { "attach", "1", "--max-overhead", "3" }, "a percentage, such as 3%" },
		{ { "serve", "--exec", " " }, "which program?" },
		{ { "attach", "--command", "a[" }, "--command a[" },
		{ { "plan", "--name", "a[" }, "--name a[" },
		{ { "attach", "--pid" }, "requires an argument" },
		{ { "attach", "--pid", "0" }, "--pid 0: not a process id" },
		{ { "attach", "--pid", "-1" }, "--pid -1: not a process id" },
		{ { "attach", "--pid", "12x" }, "--pid 12x: not a process id" },
		{ { "attach", "--pid", "99999999999999999999" }, "not a process id" },
		{ { "attach", "--pid", "1", "--frob" }, "unrecognized option" },
		{ { "attach", "--pid", "1", "--ring-size", "3M" }, "power of two" },
		{ { "attach", "--pid", "1", "--ring-size", "1T" }, "power of two" },
		{ { "attach", "--pid", "1", "--ring-size", "x" }, "power of two" },
		{ { "attach", "--pid", "1", "--max-memory", "1M" }, "at least 16M" },
		{ { "attach", "--pid", "1", "--link", "kprobe" }, "session, multi and perf" },
		{ { "attach", "--name", "a[" }, "--name a[" },
		{ { "run" }, "which program?" },
		{ { "run", "--" }, "which program?" },
		{ { "run", "--pid", "1" }, "unrecognized option" },
		{ { "run", "--assert", "live.byts == 0", "--", "x" }, "did you mean live.bytes?" },
		{ { "run", "--allow", "all", "--", "x" }, "there are partial and inexact" },
		{ { "attach", "--assert", "live.bytes == 0" }, "unrecognized option" },
		{ { "serve", "x" }, "not an option" },
		{ { "serve", "--debuginfod=" }, "give URLs, or set DEBUGINFOD_URLS" },
		{ { "serve", "--debuginfod-seconds", "0" }, "not a number from 1 to 3600" },
		{ { "serve", "--debuginfod-seconds", "-1" }, "not a number from 1 to 3600" },
	};
	struct dhatd_options options;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse(&options, cases[i].args), -EINVAL);
		if (!strstr(printed, cases[i].said))
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, printed, cases[i].said);
		dhatd_options_deinit(&options);
	}
}

static void test_ps(void **state)
{
	struct dhatd_options options;

	assert_int_equal(PARSE(&options, "ps"), 0);
	assert_int_equal(options.command, DHATD_PS);
	assert_true(options.ps_seconds == 2 && options.ps_top == 20 && !options.as_json);
	assert_int_equal(PARSE(&options, "ps", "--for", "0.5", "-n", "3", "--json"), 0);
	assert_true(options.ps_seconds == 0.5 && options.ps_top == 3 && options.as_json);
	for (const char *const *wrong =
		     (const char *const[]){ "0", "-1", "x", "", "1s", "nan", "3601", NULL };
	     *wrong; wrong++)
		assert_int_equal(PARSE(&options, "ps", "--for", *wrong), -EINVAL);
	assert_non_null(strstr(printed, "--for 3601: not a number of seconds from 0.1 to 3600"));
	assert_int_equal(PARSE(&options, "ps", "12"), -EINVAL);
	assert_non_null(strstr(printed, "`dhatd plan 12' looks at one process"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ps),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_bare_pid_and_options_first),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_repair),
		cmocka_unit_test(test_debuginfod),
		cmocka_unit_test(test_all_target_options),
		cmocka_unit_test(test_run_leaves_the_programs_options_alone),
		cmocka_unit_test(test_run_with_conditions),
		cmocka_unit_test(test_socket_from_the_environment),
		cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_wrong_command_lines),
	};

	unsetenv(DHATD_SOCKET_VARIABLE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
