#pragma once
/* until: other threads' doings are waited for. Behind <cmocka.h>. */
#include <time.h>
#include <unistd.h>

#define LONG_S 60 /* a condition that does not come within it will never come */

#define UNTIL(condition)                                                                           \
	do {                                                                                       \
		time_t end_ = time(NULL) + LONG_S;                                                 \
		while (!(condition)) {                                                             \
			if (time(NULL) > end_)                                                     \
				fail_msg("waited %d s for %s", LONG_S, #condition);                \
			usleep(1000);                                                              \
		}                                                                                  \
	} while (0)
