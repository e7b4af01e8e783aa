#pragma once
/* push_series: of each destination of profiles what has arrived, what waits, and what is lost.
 * Pure. */
#include "daemon/push/pusher.h"
#include "exposition.h"

void push_series_write(struct exposition *page, const struct pusher_state *list, size_t count);
