#include "push_series.h"

#include <stddef.h>
#include <string.h>

#include "proto/base/cleanup.h"

static const struct {
	const char *name, *type, *help;
	const char *reason; /* a label of its own; NULL: none */
	size_t offset;	    /* in struct destination_state */
} families[] = {
#define STATE(field) offsetof(struct destination_state, field)
	{ "dhatd_push_profiles_total", "counter",
	  "Profiles that have arrived where --push sends them", NULL, STATE(pushed) },
	{ "dhatd_push_failures_total", "counter",
	  "Tries to push a profile that failed; they are repeated", NULL, STATE(failed) },
	{ "dhatd_push_lost_total", "counter",
	  "Profiles that will not arrive: refused by the server, or dropped because too much "
	  "waited",
	  "refused", STATE(refused) },
	{ "dhatd_push_lost_total", NULL, NULL, "dropped", STATE(dropped) },
	{ "dhatd_push_waiting_profiles", "gauge", "Profiles on disk that wait to be pushed", NULL,
	  STATE(waiting) },
	{ "dhatd_push_waiting_bytes", "gauge", "What waits to be pushed takes on disk", NULL,
	  STATE(waiting_bytes) },
#undef STATE
};

static uint64_t number_at(const struct destination_state *state, size_t offset)
{
	uint64_t number;

	memcpy(&number, (const char *)state + offset, sizeof(number));
	return number;
}

static void begin_for(struct exposition *page, const struct pusher_state *state)
{
	exposition_begin(page);
	exposition_label(page, "url", state->url);
	if (state->form)
		exposition_label(page, "form", state->form);
	if (state->tenant)
		exposition_label(page, "tenant", state->tenant);
}

static void write_left(struct exposition *page, const struct pusher_state *list, size_t count)
{
	exposition_family(page, "dhatd_push_left_profiles", "gauge",
			  "Profiles on disk that nothing sends: where they were to go is no "
			  "destination any more");
	for (size_t i = 0; i < count; i++) {
		if (list[i].form)
			continue;
		begin_for(page, &list[i]);
		exposition_label(page, "folder", list[i].folder);
		exposition_end(page, list[i].state.waiting);
	}
}

void push_series_write(struct exposition *page, const struct pusher_state *list, size_t count)
{
	for (size_t f = 0; f < ARRAY_SIZE(families) && count; f++) {
		if (families[f].type)
			exposition_family(page, families[f].name, families[f].type,
					  families[f].help);
		for (size_t i = 0; i < count; i++) {
			if (!list[i].form)
				continue;
			begin_for(page, &list[i]);
			if (families[f].reason)
				exposition_label(page, "reason", families[f].reason);
			exposition_end(page, number_at(&list[i].state, families[f].offset));
		}
	}
	if (count)
		write_left(page, list, count);
}
