/* A trigger as it is written, and readings of it: the text before the first 0, numbers behind it.
 */
#include "daemon/watch/trigger_state.h"
#include "fuzz.h"

/* T1: between two times that it fires it was false. */
static void check_machine(const struct trigger *trigger, const uint8_t *data, size_t size)
{
	struct trigger_state state = { 0 };
	bool was_false = true;
	uint64_t now_ns = 0;

	for (; size >= 4; data += 4, size -= 4) {
		struct trigger_reading reading = { 0 };

		now_ns += (uint64_t)data[0] << (data[3] & 31);
		reading.is_known[trigger->kind] = data[1] & 7;
		reading.value[trigger->kind] = (uint64_t)data[2] << (data[1] & 63);
		if (trigger_step(trigger, &state, &reading, now_ns)) {
			FUZZ_CHECK(was_false && state.is_true);
			was_false = false;
		}
		was_false |= !state.is_true;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), why[TRIGGER_WHY_CHARS] = "";
	struct trigger trigger = { 0 }, again = { 0 };
	size_t length = strlen(text) + 1;

	if (trigger_parse(text, &trigger, why)) {
		FUZZ_CHECK(*why && !*trigger.text);
	} else {
		FUZZ_CHECK(trigger.kind < TRIGGER_KINDS && !*why);
		FUZZ_CHECK(trigger_is_level(trigger.kind) || !trigger.for_ns);
		FUZZ_CHECK((trigger.kind == TRIGGER_GROWTH) == (trigger.window_ns > 0));
		FUZZ_CHECK(trigger_parse(trigger.text, &again, why) == 0);
		FUZZ_CHECK(memcmp(&trigger, &again, sizeof(trigger)) == 0);
		if (length < size)
			check_machine(&trigger, data + length, size - length);
	}
	free(text);
	return 0;
}
