#pragma once
/* top_live: `dhatctl top' on a terminal: keys, answers, and the time between. */
#include <stdint.h>

#include "proto/base/error.h"
#include "top_model.h"

struct top_live_options {
	const char *socket_path;
	uint32_t pid; /* 0: the only target */
	uint64_t every_ns;
	struct top_options model;
};

/* Until the person leaves, or a signal says so; the terminal is as it was then, and what happened
 * is printed below what was there. A dhatd that ends is waited for, and what it told last stays; it
 * is the error that is returned if it has not come back. */
int top_live_run(const struct top_live_options *options, struct dhat_error *err);
