#pragma once
/* view: parts of what several commands print for a person. */
#include "proto/base/screen.h"
#include "proto/profile/estimate.h"
#include "proto/profile/snapshot.h"
#include "proto/wire/dhat.pb-c.h"

/* Nothing when exact, else a line for each reason. */
void view_verdict(struct screen *screen, const Dhat__Verdict *verdict, const char *indent);
/* "service (pid 12), watched for 3 min 2 s, since 12:03:44" */
void view_target(struct screen *screen, const Dhat__Target *target);
/* What follows a time that is counted back from the last the profile knows: "ago", or "before the
 * end" of a watch that is over. NULL: not known which. */
const char *view_ago(const Dhat__Target *target);
/* The same as view_target(), or how many processes and which a snapshot was put together of; and
 * what the file lacks that it came from. title: before it, and further lines begin behind it; "".
 */
void view_targets(struct screen *screen, const char *title, const struct dhat_snapshot *snapshot);
/* Valgrind's closing lines, and what of it was there before the attach. */
void view_totals(struct screen *screen, const struct dhat_snapshot *snapshot);

/* What was live since the watch began, as a line of bars on a terminal (or where COLUMNS are asked
 * for), with its scale. Nothing where there is no history. */
void view_timeline(struct screen *screen, const struct dhat_snapshot *snapshot);

/* "977 KiB (1,000,000 bytes)"; small sizes without the first. Valid until the fourth next call. */
const char *view_size(uint64_t bytes);
const char *view_count(uint64_t count); /* the same */
const char *view_counted(uint64_t count,
			 const char *noun); /* "1 block", "1,234 blocks"; the same */
/* ", 40.1 MiB to 44.1 MiB at 95%", of a sample; "" of what is exact. The same. */
const char *view_interval(const struct dhat_interval *interval);
/* ", 34 KiB a minute"; "" for less than a second. The same. */
const char *view_rate(uint64_t bytes, double seconds);
/* As it was read last, once a second while the process was watched; 0: it was not. */
uint64_t view_rss_bytes(const struct dhat_snapshot *snapshot);
/* "RSS 9.1 MiB"; of a process that is not watched any more "RSS 9.1 MiB when last read", which may
 * be a second before its end, and of one that ran no longer the moment at which it began; "" where
 * it was not read. The same. */
const char *view_rss(const struct dhat_snapshot *snapshot);
/* Wall-clock time of a moment of an observation: "22:13:20", with the date if it is not today. */
const char *view_moment(uint64_t unix_ns);
/* "from 22:13:21 to 22:14:49" */
void view_span(uint64_t from_unix_ns, uint64_t to_unix_ns, char *ret, size_t size);
