#include "view.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "proto/base/cleanup.h"
#include "proto/base/program.h"
#include "proto/base/sparkline.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "proto/profile/verdict.h"
#include "proto/wire/words.h"

#define TEXTS 8

/* An ID is shown as its runtime shows it; a machine's name is shorter than one, and whole. */
#define CONTAINER_ID_DIGITS 64
#define CONTAINER_SHORT_DIGITS 12
#define CONTAINER_CHARS 96

const char *view_size(uint64_t bytes)
{
	static char texts[TEXTS][3 * DHAT_UNIT_CHARS];
	static unsigned next;
	char size[DHAT_UNIT_CHARS], count[DHAT_UNIT_CHARS], *text = texts[next++ % TEXTS];

	dhat_format_count(bytes, count);
	if (bytes < 1024)
		snprintf(text, sizeof(texts[0]), "%s byte%s", count, bytes == 1 ? "" : "s");
	else
		snprintf(text, sizeof(texts[0]), "%s (%s bytes)", dhat_format_size(bytes, size),
			 count);
	return text;
}

const char *view_count(uint64_t count)
{
	static char texts[TEXTS][DHAT_UNIT_CHARS];
	static unsigned next;

	return dhat_format_count(count, texts[next++ % TEXTS]);
}

const char *view_counted(uint64_t count, const char *noun)
{
	static char texts[TEXTS][2 * DHAT_UNIT_CHARS];
	static unsigned next;
	char *text = texts[next++ % TEXTS];

	/* "processes" */
	snprintf(text, sizeof(texts[0]), "%s %s%s", view_count(count), noun,
		 count == 1			 ? ""
		 : noun[strlen(noun) - 1] == 's' ? "es"
						 : "s");
	return text;
}

const char *view_interval(const struct dhat_interval *interval)
{
	static char texts[TEXTS][DHAT_INTERVAL_CHARS + 16];
	static unsigned next;
	char ends[DHAT_INTERVAL_CHARS], *text = texts[next++ % TEXTS];

	*text = '\0';
	if (dhat_interval_is_wide(interval))
		snprintf(text, sizeof(texts[0]), ", %s at 95%%",
			 dhat_interval_text(interval, ends));
	return text;
}

const char *view_rate(uint64_t bytes, double seconds)
{
	static char texts[TEXTS][2 * DHAT_UNIT_CHARS];
	static unsigned next;
	char rate[DHAT_UNIT_CHARS], *text = texts[next++ % TEXTS];

	*text = '\0';
	if (seconds >= 1)
		snprintf(text, sizeof(texts[0]), ", %s a minute",
			 dhat_format_size((uint64_t)((double)bytes * 60 / seconds), rate));
	return text;
}

static bool is_same_day(const struct tm *a, const struct tm *b)
{
	return a->tm_yday == b->tm_yday && a->tm_year == b->tm_year;
}

const char *view_moment(uint64_t unix_ns)
{
	static char text[64];
	time_t then = unix_ns / 1000000000, now = time(NULL);
	struct tm then_tm, now_tm;

	localtime_r(&then, &then_tm);
	localtime_r(&now, &now_tm);
	strftime(text, sizeof(text),
		 is_same_day(&then_tm, &now_tm) ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &then_tm);
	return text;
}

void view_span(uint64_t from_unix_ns, uint64_t to_unix_ns, char *ret, size_t size)
{
	time_t from = from_unix_ns / 1000000000, to = to_unix_ns / 1000000000;
	struct tm from_tm, to_tm;
	char text[64], first[64];

	localtime_r(&from, &from_tm);
	localtime_r(&to, &to_tm);
	strftime(text, sizeof(text), "%H:%M:%S", &to_tm);
	snprintf(first, sizeof(first), "%s", view_moment(from_unix_ns));
	snprintf(ret, size, "from %s to %s", first,
		 is_same_day(&from_tm, &to_tm) ? text : view_moment(to_unix_ns));
}

void view_verdict(struct screen *screen, const Dhat__Verdict *verdict, const char *indent)
{
	static const char *const words[] = { [DHAT_SAMPLED] = "SAMPLED",
					     [DHAT_PARTIAL] = "PARTIAL",
					     [DHAT_INEXACT] = "INEXACT",
					     [DHAT_NOT_KNOWN] = "NOT KNOWN" };
	enum mark mark;
	const char *word;
	int width;

	if (verdict->exact)
		return;
	mark = dhat_verdict_of(verdict) == DHAT_SAMPLED ? MARK_BOLD : MARK_BAD;
	word = words[dhat_verdict_of(verdict)];
	width = (int)strlen(word);
	for (size_t i = 0; i < verdict->n_reasons; i++) {
		fputs(indent, screen->file);
		screen_print(screen, mark, "%*s%s", width, i ? "" : word, i ? " " : ":");
		fputc(' ', screen->file);
		screen_paragraph(screen, strlen(indent) + width + strlen(": "),
				 verdict->reasons[i]);
	}
	if (!verdict->n_reasons)
		screen_print(screen, mark, "%s%s\n", indent, word);
}

static bool is_over(const Dhat__Target *target)
{
	return target && *target->state && strcmp(target->state, DHAT_STATE_ATTACHED);
}

const char *view_ago(const Dhat__Target *target)
{
	return is_over(target) ? "before the end" : "ago";
}

uint64_t view_rss_bytes(const struct dhat_snapshot *snapshot)
{
	const Dhat__Timeline *timeline = snapshot->end->timeline;
	uint64_t bytes = 0;

	for (size_t i = 0; timeline && i < timeline->n_rss_bytes; i++)
		if (timeline->rss_bytes[i])
			bytes = timeline->rss_bytes[i];
	return bytes;
}

const char *view_rss(const struct dhat_snapshot *snapshot)
{
	static char texts[TEXTS][2 * DHAT_UNIT_CHARS];
	static unsigned next;
	char size[DHAT_UNIT_CHARS], *text = texts[next++ % TEXTS];
	uint64_t bytes = view_rss_bytes(snapshot);

	*text = '\0';
	if (bytes)
		snprintf(text, sizeof(texts[0]), "RSS %s%s", dhat_format_size(bytes, size),
			 is_over(snapshot->head->target) ? " when last read" : "");
	return text;
}

/* "watched from its start for 3 min 2 s, since 12:03:44"; what is not known is not said */
static void tell_watch(const Dhat__Target *target, char *ret, size_t size)
{
	char duration[DHAT_UNIT_CHARS];
	int used = snprintf(ret, size, "watched%s", target->from_start ? " from its start" : "");

	if (target->observed_ns)
		used += snprintf(ret + used, size - used, " for %s",
				 dhat_format_duration(target->observed_ns, duration));
	if (target->observed_since_unix_ns)
		snprintf(ret + used, size - used, ", since %s",
			 view_moment(target->observed_since_unix_ns));
}

/* ", docker 3f2a9c1b7d4e", or nothing; ret: CONTAINER_CHARS */
static const char *tell_container(const Dhat__Target *target, char *ret)
{
	const Dhat__Container *container = target->container;

	*ret = '\0';
	if (container && *container->id)
		snprintf(ret, CONTAINER_CHARS, ", %.16s %.*s", container->runtime,
			 strlen(container->id) == CONTAINER_ID_DIGITS ? CONTAINER_SHORT_DIGITS
								      : CONTAINER_ID_DIGITS,
			 container->id);
	return ret;
}

/* column: where further lines begin; used: columns of a title, behind which the cursor is. */
static void print_target(struct screen *screen, const Dhat__Target *target, size_t column,
			 size_t used)
{
	char name[DHAT_PROGRAM_CHARS], watch[256], container[CONTAINER_CHARS], text[512];

	dhat_program_name(target->command, target->executable, name);
	screen_text(screen, name);
	tell_watch(target, watch, sizeof(watch));
	snprintf(text, sizeof(text), " (pid %" PRIu32 "%s), %s%s", target->pid,
		 tell_container(target, container), watch, is_over(target) ? "; " : "");
	if (is_over(target))
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s%s", target->state,
			 *target->state_detail ? ": " : "", target->state_detail);
	screen_continue(screen, column, used + dhat_text_width(name), text);
}

void view_target(struct screen *screen, const Dhat__Target *target)
{
	print_target(screen, target, 2, 0);
}

#define SHOWN_PIDS 8

static void print_processes(struct screen *screen, const struct dhat_snapshot *snapshot,
			    size_t column, size_t title)
{
	const Dhat__Target *target = snapshot->head->target;
	char name[2 * DHAT_PROGRAM_CHARS], duration[DHAT_UNIT_CHARS], text[512];
	size_t used;

	if (!snapshot->pid_count) {
		print_target(screen, target, column, title);
		return;
	}
	dhat_program_full_name(target->command, target->executable, name);
	screen_text(screen, name);
	used = snprintf(text, sizeof(text), ", %s (pid",
			view_counted(snapshot->pid_count, "process"));
	for (size_t i = 0; i < snapshot->pid_count && i < SHOWN_PIDS; i++)
		used += snprintf(text + used, sizeof(text) - used, "%s %" PRIu32, i ? "," : "",
				 snapshot->pids[i]);
	snprintf(text + used, sizeof(text) - used, "%s), watched for %s, since %s",
		 snapshot->pid_count > SHOWN_PIDS ? ", …" : "",
		 dhat_format_duration(target->observed_ns, duration),
		 view_moment(target->observed_since_unix_ns));
	screen_continue(screen, column, title + dhat_text_width(name), text);
}

void view_targets(struct screen *screen, const char *title, const struct dhat_snapshot *snapshot)
{
	size_t used = strlen(title), column = used ?: 2;

	fputs(title, screen->file);
	print_processes(screen, snapshot, column, used);
	if (*snapshot->head->born) {
		char text[256];

		snprintf(text, sizeof(text), "only what was allocated %.128s and lives",
			 snapshot->head->born);
		screen_paragraph(screen, column, text);
	}
	if (snapshot->lacks)
		screen_paragraph(screen, column, snapshot->lacks);
}

#define TIMELINE_COLUMNS 60

void view_timeline(struct screen *screen, const struct dhat_snapshot *snapshot)
{
	const Dhat__Timeline *timeline = snapshot->end->timeline;
	char most[DHAT_UNIT_CHARS], span[DHAT_UNIT_CHARS], text[256];
	const char *rss = view_rss(snapshot);
	_cleanup_free_ char *line = NULL;
	uint64_t most_bytes = 0;
	size_t room, count = timeline ? timeline->n_most_bytes : 0;

	if (count < 2 || !screen->width)
		return;
	for (size_t i = 0; i < count; i++)
		if (timeline->most_bytes[i] > most_bytes)
			most_bytes = timeline->most_bytes[i];
	snprintf(text, sizeof(text), "  0 to %s in %s%s%s", dhat_format_size(most_bytes, most),
		 dhat_format_duration(count * timeline->slot_ns, span), *rss ? "; " : "", rss);
	room = screen_room(screen, TIMELINE_COLUMNS, strlen("Live: ") + strlen(text));
	line = dhat_sparkline(timeline->most_bytes, count, room, screen->has_utf8);
	if (line)
		fprintf(screen->file, "Live: %s%s\n", line, text);
}

#define TOTAL_CHARS 192

/* One of Valgrind's closing lines; numbers end in the same columns. What the screen has no room
 * for goes below. more: "" or text behind. */
static void view_total(struct screen *screen, const char *name, uint64_t bytes, uint64_t blocks,
		       const int columns[2], const char *more)
{
	char size[DHAT_UNIT_CHARS] = "", text[256];
	int used = snprintf(text, sizeof(text), "%-10s %*s bytes in %*s %s", name, columns[0],
			    view_count(bytes), columns[1], view_count(blocks),
			    blocks == 1 ? "block " : "blocks");

	if (bytes >= 1024)
		dhat_format_size(bytes, size);
	fputs(text, screen->file);
	snprintf(text, sizeof(text), "  %8s%s%s", size, *more ? "  " : "", more);
	if (screen->width && used + strlen(text) > screen->width)
		fprintf(screen->file, "\n%10s%s", "", text + strspn(text, " ") - 1);
	else if (*size || *more)
		fputs(*size ? text : text + 10, screen->file);
	fputc('\n', screen->file);
}

static int greatest_width(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t greatest = a > b ? a : b;

	return (int)strlen(view_count(greatest > c ? greatest : c));
}

/* What is told behind a total: of a sample its interval, too. */
static const char *behind_total(const struct dhat_snapshot *snapshot,
				const struct dhat_evidence *evidence, enum dhat_estimated which,
				uint64_t bytes, const char *more, char ret[TOTAL_CHARS])
{
	struct dhat_interval interval =
		dhat_interval_of(snapshot->head->sample_bytes, evidence, which, bytes);
	char text[DHAT_INTERVAL_CHARS] = "";
	bool is_wide = dhat_interval_is_wide(&interval);

	if (is_wide)
		dhat_interval_text(&interval, text);
	snprintf(ret, TOTAL_CHARS, "%s%s%s%s", is_wide ? "95%: " : "", text,
		 is_wide && *more ? "; " : "", more);
	return ret;
}

void view_totals(struct screen *screen, const struct dhat_snapshot *snapshot)
{
	const Dhat__Totals *totals = snapshot->end->totals;
	const int columns[] = {
		greatest_width(totals->total_bytes, totals->peak_bytes, totals->live_bytes),
		greatest_width(totals->total_blocks, totals->peak_blocks, totals->live_blocks),
	};
	char duration[DHAT_UNIT_CHARS], when[2 * DHAT_UNIT_CHARS] = "", more[TOTAL_CHARS];
	struct dhat_evidence evidence;
	Dhat__ProgramPoint before;

	dhat_snapshot_before(snapshot, &before);
	if (totals->end_ns) /* else there is no time in it (proto/import/dhat_json.h) */
		snprintf(when, sizeof(when), "%s before t-end",
			 dhat_format_duration(totals->end_ns - totals->peak_ns, duration));
	dhat_evidence_of_snapshot(snapshot, &evidence);
	view_total(screen, "Total:", totals->total_bytes, totals->total_blocks, columns,
		   behind_total(snapshot, &evidence, DHAT_ESTIMATED_TOTAL, totals->total_bytes, "",
				more));
	view_total(screen, "At t-gmax:", totals->peak_bytes, totals->peak_blocks, columns,
		   behind_total(snapshot, &evidence, DHAT_ESTIMATED_PEAK, totals->peak_bytes,
				snapshot->pid_count ? "at most: each had its peak at another time"
						    : when,
				more));
	view_total(screen, "At t-end:", totals->live_bytes, totals->live_blocks, columns,
		   behind_total(snapshot, &evidence, DHAT_ESTIMATED_LIVE, totals->live_bytes, "",
				more));
	if (before.live_blocks)
		view_total(screen, "  of these", before.live_bytes, before.live_blocks, columns,
			   "from before the attach");
}
