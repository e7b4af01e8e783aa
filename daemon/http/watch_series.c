#include "watch_series.h"

static void put_count(struct exposition *page, const struct search_state *search, const char *state,
		      size_t count)
{
	exposition_begin(page);
	exposition_label(page, "watch", search->name);
	exposition_label(page, "state", state);
	exposition_end(page, count);
}

void watch_series_write(struct exposition *page, const struct search_state *list, size_t count)
{
	exposition_family(page, "dhatd_watch_searching", "gauge",
			  "1 if processes of the section of the configuration are looked for, 0 if "
			  "that could not be begun");
	for (size_t i = 0; i < count; i++) {
		exposition_begin(page);
		exposition_label(page, "watch", list[i].name);
		exposition_end(page, list[i].is_searching);
	}
	exposition_family(
		page, "dhatd_watch_processes", "gauge",
		"Processes of the section that are watched (attached), and that match, but "
		"are left out since max-targets are watched already");
	for (size_t i = 0; i < count; i++) {
		put_count(page, &list[i], "attached", list[i].attached);
		put_count(page, &list[i], "left_out", list[i].left_out);
	}
}
