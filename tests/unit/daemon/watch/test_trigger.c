/* triggers: what can be written, and when it fires by a clock of our own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/watch/trigger_state.h"
#include "proto/base/cleanup.h"

#define SECOND 1000000000ull
#define MIB (1ull << 20)

static struct trigger parsed(const char *text)
{
	struct trigger trigger;
	char why[TRIGGER_WHY_CHARS] = "";

	if (trigger_parse(text, &trigger, why))
		fail_msg("%s: %s", text, why);
	return trigger;
}

static void test_grammar(void **state)
{
	static const struct {
		const char *text, *canonical;
		enum trigger_kind kind;
		uint64_t level, window_s, for_s;
	} cases[] = {
		{ "rss>2GiB", "rss>2GiB", TRIGGER_RSS, 2048 * MIB, 0, 0 },
		{ " rss  >  2g for  5m ", "rss>2g for 5m", TRIGGER_RSS, 2048 * MIB, 0, 300 },
		{ "live>4096", "live>4096", TRIGGER_LIVE, 4096, 0, 0 },
		{ "growth>10MiB/min for 5m", "growth>10MiB/min for 5m", TRIGGER_GROWTH, 10 * MIB,
		  60, 300 },
		{ "growth > 1M / h", "growth>1M/h", TRIGGER_GROWTH, MIB, 3600, 0 },
		{ "growth>1M/s for 90", "growth>1M/s for 90", TRIGGER_GROWTH, MIB, 1, 90 },
		{ "overhead>3%", "overhead>3%", TRIGGER_OVERHEAD, 300, 0, 0 },
		{ "psi.memory>2.5% for 30s", "psi.memory>2.5% for 30s", TRIGGER_PSI, 250, 0, 30 },
		{ "cgroup.psi.memory>0.05%", "cgroup.psi.memory>0.05%", TRIGGER_CGROUP_PSI, 5, 0,
		  0 },
		{ "cgroup.memory.high", "cgroup.memory.high", TRIGGER_HIGH, 0, 0, 0 },
		{ "cgroup.memory.max ", "cgroup.memory.max", TRIGGER_MAX, 0, 0, 0 },
		{ "failed-allocation", "failed-allocation", TRIGGER_FAILED, 0, 0, 0 },
		{ "exit", "exit", TRIGGER_EXIT, 0, 0, 0 },
		{ "oom", "oom", TRIGGER_OOM, 0, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct trigger trigger = parsed(cases[i].text);

		assert_string_equal(trigger.text, cases[i].canonical);
		assert_int_equal(trigger.kind, cases[i].kind);
		assert_int_equal(trigger.level, cases[i].level);
		assert_int_equal(trigger.window_ns, cases[i].window_s * SECOND);
		assert_int_equal(trigger.for_ns, cases[i].for_s * SECOND);
	}
}

static void test_what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "there is no such condition" },
		{ "rs>2G", "did you mean rss?" },
		{ "blocks>2G", "there are rss, live, growth" },
		{ "rss", "> and a size is wanted after rss" },
		{ "rss 2G", "> and a size is wanted" },
		{ "rss>", "a size, such as" },
		{ "rss>-1", "a size, such as" },
		{ "rss>2X", "a size, such as" },
		{ "rss>2G 5m", "nothing more is wanted but `for DURATION'" },
		{ "rss>2G for", "a duration, such as" },
		{ "rss>2G for 0s", "a duration, such as" },
		{ "rss>2G for 5m 5m", "a duration, such as" },
		{ "growth>1M", "/s, /min or /h is wanted" },
		{ "growth>1M/day", "/s, /min or /h is wanted" },
		{ "overhead>3", "a percentage, such as" },
		{ "overhead>3.123%", "a percentage, such as" },
		{ "overhead>0%", "a percentage, such as" },
		{ "overhead>.5%", "a percentage, such as" },
		{ "overhead>5.%", "a percentage, such as" },
		{ "overhead>99999999%", "a percentage, such as" },
		{ "exit for 5m", "nothing more is wanted after that" },
		{ "a-word-that-is-longer-than-any-that-there-is", "there is no such condition" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct trigger trigger = { .level = 77 };
		char why[TRIGGER_WHY_CHARS] = "";

		assert_int_equal(trigger_parse(cases[i].text, &trigger, why), -EINVAL);
		if (!strstr(why, cases[i].why))
			fail_msg("%s: %s", cases[i].text, why);
		assert_int_equal(trigger.level, 77);
	}
}

/* ---- the machine ----------------------------------------------------------------------------- */

struct machine {
	struct trigger trigger;
	struct trigger_state state;
	uint64_t now_s;
};

/* A second later it reads so much. */
static bool reads(struct machine *machine, uint64_t value)
{
	struct trigger_reading reading = { 0 };

	reading.is_known[machine->trigger.kind] = true;
	reading.value[machine->trigger.kind] = value;
	machine->now_s++;
	return trigger_step(&machine->trigger, &machine->state, &reading, machine->now_s * SECOND);
}

static void test_fires_once(void **state)
{
	struct machine machine = { .trigger = parsed("rss>1000") };

	assert_false(reads(&machine, 1000));
	assert_true(reads(&machine, 1001));
	for (int i = 0; i < 1000; i++)
		assert_false(reads(&machine, 5000)); /* it stays true */
	/* and sways around the level */
	assert_false(reads(&machine, 951));
	assert_false(reads(&machine, 1001));
	/* it was false */
	assert_false(reads(&machine, 950));
	assert_false(reads(&machine, 1000));
	assert_true(reads(&machine, 1001));
}

static void test_has_to_last(void **state)
{
	struct machine machine = { .trigger = parsed("live>1000 for 5s") };

	for (int i = 0; i < 5; i++)
		assert_false(reads(&machine, 2000));
	assert_false(reads(&machine, 900)); /* not long enough: it begins again */
	for (int i = 0; i < 5; i++)
		assert_false(reads(&machine, 2000));
	assert_true(reads(&machine, 2000));
	assert_false(reads(&machine, 2000));
}

static void test_what_is_not_known(void **state)
{
	const struct trigger_reading nothing = { 0 };
	struct machine machine = { .trigger = parsed("psi.memory>10%") };

	assert_true(reads(&machine, 1001));
	machine.now_s++;
	assert_false(
		trigger_step(&machine.trigger, &machine.state, &nothing, machine.now_s * SECOND));
	assert_false(reads(&machine, 1001)); /* it was not false meanwhile */
}

static void test_growth(void **state)
{
	struct machine machine = { .trigger = parsed("growth>600/min") };
	uint64_t live = 1000000;

	/* 10 a second are 600 a minute */
	for (int i = 0; i < 200; i++)
		assert_false(reads(&machine, live += 10));
	/* 11 are more, as soon as they are a minute's */
	for (int i = 0; i < 200 && !reads(&machine, live += 11); i++)
		assert_true(i < 100);
	assert_true(machine.state.has_fired);
	/* what shrinks does not grow */
	for (int i = 0; i < 200; i++)
		assert_false(reads(&machine, live -= 1000));
	/* at once, what is enough for a minute */
	assert_true(reads(&machine, live + 200000));
}

/* Before a window has passed nothing is known, however much comes. */
static void test_growth_needs_its_window(void **state)
{
	struct machine machine = { .trigger = parsed("growth>1M/h") };
	uint64_t seconds = 0;

	while (!reads(&machine, machine.now_s * MIB))
		seconds++;
	assert_in_range(seconds, 3600, 3600 + 120);
	assert_int_equal(machine.now_s, seconds + 1);
}

static void test_events(void **state)
{
	struct machine machine = { .trigger = parsed("failed-allocation") };

	assert_false(reads(&machine, 5)); /* from before */
	assert_false(reads(&machine, 5));
	assert_true(reads(&machine, 6));
	for (int i = 0; i < 300; i++)
		assert_false(reads(&machine, 7 + i)); /* they keep coming */
	for (int i = 0; i < 59; i++)
		assert_false(reads(&machine, 306));
	assert_false(reads(&machine, 307)); /* not quiet for long enough */
	for (int i = 0; i < 60; i++)
		assert_false(reads(&machine, 307));
	assert_true(reads(&machine, 308));
	/* ours are counted from the attach on; a group's are not */
	machine = (struct machine){ .trigger = parsed("failed-allocation") };
	trigger_begin(&machine.trigger, &machine.state);
	assert_true(reads(&machine, 1));
	machine = (struct machine){ .trigger = parsed("cgroup.memory.high") };
	trigger_begin(&machine.trigger, &machine.state);
	assert_false(reads(&machine, 1));
	assert_true(reads(&machine, 2));
}

static void test_ends(void **state)
{
	struct machine machine = { .trigger = parsed("oom") };

	assert_false(reads(&machine, 0));
	assert_true(reads(&machine, 1));
	assert_false(reads(&machine, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_what_is_wrong_is_said),
		cmocka_unit_test(test_fires_once),
		cmocka_unit_test(test_has_to_last),
		cmocka_unit_test(test_what_is_not_known),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_growth_needs_its_window),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests_name("trigger", tests, NULL, NULL);
}
