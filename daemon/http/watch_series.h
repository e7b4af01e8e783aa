#pragma once
/* watch_series: of each section of a configuration how many processes are watched, and how many are
 * left out. Pure. */
#include "daemon/target/searches.h"
#include "exposition.h"

void watch_series_write(struct exposition *page, const struct search_state *list, size_t count);
