/* config: what a file may say, and what is said of a mistake. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/config.h"
#include "proto/base/cleanup.h"

static const char example[] = "# what is watched here\n"
			      "\n"
			      "[watch nginx]\n"
			      "unit = nginx.service\n"
			      "on = rss>2GiB\n"
			      "  on=growth>10MiB/min for 5m \r\n"
			      "exec = /usr/local/bin/page on-call \n"
			      "every = 10m\n"
			      "keep = 3\n"
			      "max-overhead = 2.5%\n"
			      "max-memory = 512M\n"
			      "max-targets = 4\n"
			      "follow-fork = yes\n"
			      "anonymous = no\n"
			      "; the other\n"
			      "[ watch  redis@1 ]\n"
			      "name = ^redis-server$\n"
			      "alloc = redis:pool(size=arg1)\n";

static void test_sections(void **state)
{
	_cleanup_(config_deinit) struct config config = { 0 };
	const struct dhatd_options *options;
	struct dhat_error err = { 0 };

	if (config_parse(example, "/etc/dhatd.conf", &config, &err))
		fail_msg("%s", err.message);
	assert_int_equal(config.count, 2);
	assert_string_equal(config.sections[0].name, "nginx");
	options = &config.sections[0].options;
	assert_string_equal(options->match.unit, "nginx.service");
	assert_null(options->match.name_regex);
	assert_int_equal(options->watch.settings.trigger_count, 2);
	assert_string_equal(options->watch.settings.triggers[1].text, "growth>10MiB/min for 5m");
	assert_string_equal(options->watch.settings.command, "/usr/local/bin/page on-call");
	assert_int_equal(options->watch.settings.every_ns, 600000000000ull);
	assert_int_equal(options->watch.settings.keep, 3);
	assert_int_equal(options->watch.settings.max_overhead.hundredths, 250);
	assert_int_equal(options->target.max_memory_bytes, 512 << 20);
	assert_int_equal(options->max_targets, 4);
	assert_true(options->target.follow_fork);
	assert_false(options->target.anonymous_memory);
	assert_string_equal(config.sections[1].name, "redis@1");
	options = &config.sections[1].options;
	assert_string_equal(options->match.name_regex, "^redis-server$");
	assert_string_equal(options->target.custom[0], "alloc:redis:pool(size=arg1)");
	assert_int_equal(options->watch.settings.trigger_count, 0);
}

static void test_nothing_is_enough(void **state)
{
	_cleanup_(config_deinit) struct config config = { 0 };

	assert_int_equal(config_parse("", "f", &config, NULL), 0);
	assert_int_equal(config.count, 0);
}

static void test_mistakes_are_named_with_their_line(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{ "name = x\n", "f:1: which processes is that for? A [watch NAME] comes first" },
		{ "\n[watch]\n", "f:2: [watch NAME] is wanted" },
		{ "[watch a b]\n", "f:1: [watch NAME] is wanted" },
		{ "[watch ../x]\n", "f:1: [watch NAME] is wanted" },
		{ "[serve x]\n", "f:1: [watch NAME] is wanted" },
		{ "[watch a\n", "f:1: [watch NAME] is wanted" },
		{ "[watch a] x\n", "f:1: [watch NAME] is wanted" },
		{ "[watch a]\nname = x\n[watch a]\n", "f:3: there is a [watch a] already" },
		{ "[watch a]\nname\n", "f:2: KEY = VALUE is wanted" },
		{ "[watch a]\nnames = x\n", "f:2: there is no names; did you mean name?" },
		{ "[watch a]\nzzz = x\n", "f:2: there is no zzz; options of" },
		{ "[watch a]\n = x\n", "f:2: there is no " },
		{ "[watch a]\nname = (\n", "f:2: --name (: " },
		{ "[watch a]\nname =\n", "f:2: --name: an empty pattern matches everything" },
		{ "[watch a]\ncommand = \n", "f:2: --command: an empty pattern" },
		{ "[watch a]\non = rs>1G\n",
		  "f:2: --on 'rs>1G': there is no rs; did you mean rss?" },
		{ "[watch a]\nfollow-fork = maybe\n", "f:2: follow-fork = yes or no is wanted" },
		{ "[watch a]\nring-size = 3\n", "f:2: --ring-size 3: a power of two" },
		{ "[watch a]\nrecord = /x\n", "f:2: record is for all" },
		{ "[watch a]\non = exit\n", "f: [watch a] does not say which processes" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config config = { .count = 77 };
		struct dhat_error err = { 0 };

		assert_true(config_parse(cases[i].text, "f", &config, &err) < 0);
		assert_int_equal(config.count, 77);
		assert_int_equal(err.code, DHAT_EXIT_USAGE);
		if (strncmp(err.message, cases[i].said, strlen(cases[i].said)))
			fail_msg("%s: %s", cases[i].text, err.message);
	}
}

static void test_a_path_is_no_name(void **state)
{
	struct config config = { 0 };
	struct dhat_error err = { 0 };

	assert_true(config_parse("[watch a]\nkeep = x\n", "/etc/a b.conf", &config, &err) < 0);
	assert_string_equal(err.message, "/etc/a b.conf:2: --keep x: not a number from 1 to 1000");
	err = (struct dhat_error){ 0 };
	assert_true(config_read("/no/such/file", &config, &err) < 0);
	assert_non_null(strstr(err.message, "cannot read /no/such/file: No such file"));
	assert_true(config_read("/proc/self/cmdline", &config, &err) < 0); /* has zeros */
}

static void test_same(void **state)
{
	_cleanup_(config_deinit) struct config a = { 0 }, b = { 0 };

	assert_int_equal(config_parse("[watch x]\nname = a\n#\nkeep = 3\n[watch y]\nname = a\n"
				      "[watch z]\nname = a\nkeep = 4\n",
				      "f", &a, NULL),
			 0);
	assert_int_equal(config_parse("[watch x]\n\n  name=a\nkeep=3\n", "g", &b, NULL), 0);
	assert_true(config_is_same(&a.sections[0], &b.sections[0]));
	assert_false(config_is_same(&a.sections[0], &a.sections[1]));
	assert_false(config_is_same(&a.sections[1], &a.sections[0]));
	assert_false(config_is_same(&a.sections[0], &a.sections[2]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_nothing_is_enough),
		cmocka_unit_test(test_mistakes_are_named_with_their_line),
		cmocka_unit_test(test_a_path_is_no_name),
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
