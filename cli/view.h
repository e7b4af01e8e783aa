#pragma once
/* view: parts of what several commands print for a person. */
#include "proto/base/screen.h"
#include "proto/wire/dhat.pb-c.h"
#include "ranking.h"

/* Nothing when exact, else a line for each reason. */
void view_verdict(struct screen *screen, const Dhat__Verdict *verdict, const char *indent);
/* "./service -x (pid 12), watched for 3 min 2 s, since 12:03:44" */
void view_target(struct screen *screen, const Dhat__Target *target);
/* Valgrind's closing lines. */
void view_totals(struct screen *screen, const Dhat__Totals *totals);

struct view_points {
	enum ranking_key key;
	size_t top;   /* at most so many stacks … */
	size_t depth; /* … of at most so many lines; 0: all */
	bool has_addresses;
};
/* The stack with most of the live bytes, in two lines. */
void view_headline(struct screen *screen, struct dhat_rendering *rendering);
/* The list; sorts the points. */
void view_points(struct screen *screen, struct dhat_rendering *rendering,
		 const struct view_points *options);

/* "977 KiB (1,000,000 bytes)"; small sizes without the first. Valid until the fourth next call. */
const char *view_size(uint64_t bytes);
const char *view_count(uint64_t count); /* the same */
/* Wall-clock time of a moment of an observation: "22:13:20", with the date if it is not today. */
const char *view_moment(uint64_t unix_ns);
