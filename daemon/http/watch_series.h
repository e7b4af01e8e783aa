#pragma once
/* watch_series: of each section of a configuration how many processes are watched, and how many are
 * left out. Pure. */
#include "daemon/target/searches.h"
#include "exposition.h"

struct watch_count {
	struct search_state state;
	size_t attached;
};

void watch_series_write(struct exposition *page, const struct watch_count *list, size_t count);
