/* readings: what of a target's figures its triggers get to see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/watch/reading.h"
#include "proto/base/cleanup.h"

#define SECOND 1000000000ull
#define MIB (1ull << 20)

struct looking {
	struct trigger trigger;
	struct trigger_state state;
	uint64_t now_s;
};

static struct looking looking_for(const char *text)
{
	char why[TRIGGER_WHY_CHARS] = "";
	struct looking looking = { 0 };

	if (trigger_parse(text, &looking.trigger, why))
		fail_msg("%s: %s", text, why);
	trigger_begin(&looking.trigger, &looking.state);
	return looking;
}

/* A second later it is so. */
static bool sees(struct looking *looking, const struct target_glance *glance)
{
	const struct watch_settings settings = { .triggers = &looking->trigger,
						 .trigger_count = 1 };
	struct trigger_reading reading;

	reading_take(&settings, NULL, glance, NULL, &reading);
	return trigger_step(&looking->trigger, &looking->state, &reading,
			    ++looking->now_s * SECOND);
}

static bool sees_live(struct looking *looking, uint64_t live_bytes, bool is_listing)
{
	return sees(looking, &(struct target_glance){ .state = TARGET_ATTACHED,
						      .live_bytes = live_bytes,
						      .is_listing = is_listing });
}

/* A heap of 4 GiB that is listed within two minutes, and then stays as it is. */
static void test_an_old_heap_is_no_growth(void **state)
{
	static const char *const texts[] = { "growth>10M/s", "growth>10M/min" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct looking looking = looking_for(texts[i]);

		for (uint64_t s = 0; s <= 120; s++)
			assert_false(sees_live(&looking, s * 4096 * MIB / 120, true));
		for (int s = 0; s < 120; s++)
			assert_false(sees_live(&looking, 4096 * MIB, false));
		/* and what it grows by then counts */
		assert_true(sees_live(&looking, 4096 * MIB + 11 * MIB, false));
	}
}

/* Nor is what comes for blocks of which only the end is seen, because nobody could list them. */
static void test_what_replaces_an_old_heap_is_no_growth(void **state)
{
	struct looking looking = looking_for("growth>10M/min");
	struct target_glance glance = { .state = TARGET_ATTACHED };

	for (int s = 0; s < 300; s++) {
		glance.live_bytes += MIB;
		glance.freed_before_bytes += MIB;
		assert_false(sees(&looking, &glance));
	}
	glance.live_bytes += 11 * MIB;
	assert_true(sees(&looking, &glance));
}

static void test_what_is_live_is_seen_all_the_same(void **state)
{
	struct looking looking = looking_for("live>1M");

	assert_true(sees_live(&looking, 2 * MIB, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_old_heap_is_no_growth),
		cmocka_unit_test(test_what_replaces_an_old_heap_is_no_growth),
		cmocka_unit_test(test_what_is_live_is_seen_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
