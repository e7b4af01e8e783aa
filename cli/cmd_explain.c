/* dhatctl explain: all that matters in a few lines, for a person in a hurry and for programs. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "input.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/program.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "proto/profile/keeping.h"
#include "proto/profile/verdict.h"
#include "subject.h"
#include "suspicion.h"
#include "view.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

#define EXPLAIN_VERSION                                                                            \
	1 /* of the JSON: keys are added, none is taken away or changes its meaning */
#define DEFAULT_BUDGET 4096
#define LEAST_BUDGET 1536
#define NEXT_CHARS 640

struct explain_options {
	struct common common;
	struct subject subject;
	uint64_t budget_bytes;
};

enum { KEY_BUDGET = 0x100 };

static const struct argp_option options[] = {
	{ "budget", KEY_BUDGET, "BYTES", 0,
	  "Print so much at most (default 4K; at least 1536): names and reasons are cut, then "
	  "suspects left out",
	  2 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct explain_options *wanted = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &wanted->subject.pid, &wanted->subject,
						       &wanted->common });
		return 0;
	case KEY_BUDGET:
		if (dhat_parse_size(arg, &wanted->budget_bytes) == 0 &&
		    wanted->budget_bytes >= LEAST_BUDGET)
			return 0;
		argp_error(state, "--budget %s: not a number of bytes from %d on", arg,
			   LEAST_BUDGET);
		return EINVAL;
	default:
		return subject_parse(&wanted->subject, key, arg, state);
	}
}

static const struct argp_child children[] = {
	{ .argp = &pid_argp }, { .argp = &subject_argp }, { .argp = &common_argp }, { 0 }
};
const struct argp cmd_explain_argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[PID | FILE.dhat]",
	.doc = "What there is to know of a process in a few lines: whether the numbers can be "
	       "trusted, what is live, at most three suspects and why they are, and the command to "
	       "type next. Of bounded size; as JSON with stable keys.",
	.children = children,
};

/* ---- what is said -------------------------------------------------------------------------- */

struct explanation {
	const struct dhat_snapshot *snapshot;
	const struct dhat_rendering *by_line;
	struct dhat_suspects suspects;
	enum dhat_keeping keeping; /* DHAT_KEEPS_UNKNOWN: or there are no pages */
	char keeps[DHAT_KEEPING_CHARS], lost[DHAT_HELD_CHARS]; /* "": nothing to say */
	char headline[SUSPICION_CHARS];
	char next[NEXT_CHARS];
	const char *next_why;
	const struct room *room;
	size_t shown; /* suspects */
};

/* What a budget has room for; the first that fits is taken. The last always does, at LEAST_BUDGET:
 * keys, numbers and what it has of names need 1,400 bytes at most, if each character needs four. */
static const struct room {
	size_t suspects;
	size_t chars;	    /* of a name or a reason */
	bool has_sentences; /* what keeps the memory, and what is lost */
	size_t quote_bytes; /* of a word in the next command; what is longer is not repeated */
} rooms[] = { { 3, 200, true, 256 },
	      { 3, 80, true, 256 },
	      { 2, 80, true, 128 },
	      { 1, 64, false, 128 },
	      { 0, 16, false, 64 } };

/* The first `chars` characters, cleaned; what is longer ends with an ellipsis. The caller frees. */
static char *cut(const char *text, size_t chars)
{
	_cleanup_free_ char *clean = dhat_text_clean(text);
	char *at = clean, *shorter = NULL;

	if (!clean || dhat_text_width(clean) <= chars)
		return take_ptr(clean);
	for (size_t i = 0; i + 1 < chars; i++)
		at += dhat_text_character(at);
	*at = 0;
	return asprintf(&shorter, "%s…", clean) < 0 ? NULL : shorter;
}

/* Of the whole live heap, by least squares over the second half of the watch: what it does now. */
static double live_growth(const Dhat__Timeline *timeline)
{
	uint32_t count = timeline ? (uint32_t)timeline->n_live_bytes : 0;

	return count ? dhat_history_slope(timeline->live_bytes, count / 2, count, timeline->slot_ns)
		     : 0;
}

/* ---- the next command ---------------------------------------------------------------------- */

static bool is_plain(const char *word)
{
	return *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789_./:+-")];
}

/* As a shell takes it for one word. Nothing at all where that is not sure to have room. */
static void quote(const char *word, char *ret, size_t size)
{
	size_t used = 0;

	ret[0] = 0;
	if (is_plain(word) && strlen(word) < size) {
		strcpy(ret, word);
		return;
	}
	if (4 * strlen(word) + 3 > size)
		return;
	ret[used++] = '\'';
	for (; *word; word++) {
		if (*word == '\'') {
			memcpy(ret + used, "'\\'", 3);
			used += 3;
		}
		ret[used++] = *word;
	}
	ret[used++] = '\'';
	ret[used] = 0;
}

/* A pattern for --filter of a row: its function as far as it is shown, in which what was left out
 * may be anything, or its object. false: there is none that is short enough. */
static bool find_pattern(const char *line, char *ret, size_t size)
{
	_cleanup_free_ char *name = NULL, *clean = NULL, *word = NULL;
	const char *place, *from;
	char *to;

	dhat_table_line_split(line, &name, &place);
	if (!name || !place)
		return false;
	word = strcmp(name, "???") ? strdup(name) : strndup(place, strcspn(place, "+:"));
	clean = word ? dhat_text_clean(word) : NULL;
	if (!clean || strcmp(clean, word)) /* nothing that a terminal could act upon */
		return false;
	for (from = to = clean; *from; to++) {
		if (!strncmp(from, "…", strlen("…"))) {
			*to = '*';
			from += strlen("…");
		} else {
			*to = *from++;
		}
	}
	*to = 0;
	quote(clean, ret, size);
	return *ret;
}

static bool has_all_early(const struct dhat_suspects *suspects)
{
	for (size_t i = 0; i < suspects->count; i++)
		if (suspects->list[i].suspicion.course != DHAT_EARLY)
			return false;
	return suspects->count;
}

static void find_next(struct explanation *said, const char *path)
{
	const struct dhat_snapshot *snapshot = said->snapshot;
	const size_t size = said->room->quote_bytes;
	char about[256], pattern[256];
	const struct dhat_rendered_point *first =
		said->suspects.count ? said->suspects.list[0].point : NULL;

	snprintf(about, sizeof(about), "%" PRIu32, snapshot->head->target->pid);
	if (path)
		quote(path, about, size);
	if (snapshot->pid_count)
		snprintf(about, sizeof(about), "--all");
	if (!*about) /* a path that is too long to be repeated */
		snprintf(about, sizeof(about), "FILE.dhat");
	if (said->suspects.suspect_count && said->suspects.list[0].suspicion.lost_blocks &&
	    !snapshot->pid_count) {
		snprintf(said->next, sizeof(said->next), "dhatctl holds --lost %s", about);
		said->next_why = "what is lost, and how it hangs together";
	} else if (said->suspects.suspect_count &&
		   find_pattern(said->by_line->lines[first->lines[0]], pattern, size)) {
		snprintf(said->next, sizeof(said->next), "dhatctl stats --filter %s %s", pattern,
			 about);
		said->next_why = "the stacks that lead to the first suspect";
	} else if (said->suspects.suspect_count) {
		snprintf(said->next, sizeof(said->next), "dhatctl suspects --by stack %s", about);
		said->next_why = "the stacks that lead to the suspects";
	} else if (*said->keeps) {
		snprintf(said->next, sizeof(said->next), "dhatctl pins %s", about);
		said->next_why = "whose blocks keep the memory that is free";
	} else if (has_all_early(&said->suspects) && !path && dhat_history_slots(snapshot)) {
		snprintf(said->next, sizeof(said->next), "dhatctl explain %s", about);
		said->next_why = "in a while: it is too early to tell";
	} else if (!snapshot->end->verdict->exact && !path) {
		snprintf(said->next, sizeof(said->next), "dhatctl status%s%s",
			 snapshot->pid_count ? "" : " ", snapshot->pid_count ? "" : about);
		said->next_why = "what was lost";
	} else {
		snprintf(said->next, sizeof(said->next), "dhatctl stats %s", about);
		said->next_why = "what keeps the memory";
	}
}

/* ---- for programs -------------------------------------------------------------------------- */

static void add_text(struct json_object *object, const char *key, const char *text, size_t chars)
{
	_cleanup_free_ char *shown = cut(text, chars);

	json_object_object_add(object, key, json_object_new_string(shown ?: ""));
}

static void add_number(struct json_object *object, const char *key, uint64_t number)
{
	json_object_object_add(object, key, json_object_new_uint64(number));
}

static struct json_object *suspect_as_json(const struct explanation *said, size_t i)
{
	const struct dhat_suspect *suspect = &said->suspects.list[i];
	const char *line = said->by_line->lines[suspect->point->lines[0]], *place;
	struct json_object *object = suspicion_as_json(said->snapshot, suspect);
	_cleanup_free_ char *name = NULL;

	dhat_table_line_split(line, &name, &place);
	add_text(object, "function", name ?: "", said->room->chars);
	add_text(object, "place", place ?: "", said->room->chars);
	return object;
}

static void add_figures(struct json_object *object, const struct explanation *said)
{
	const Dhat__SnapshotEnd *end = said->snapshot->end;
	Dhat__ProgramPoint before;

	dhat_snapshot_before(said->snapshot, &before);
	add_number(object, "live_bytes", end->totals->live_bytes);
	add_number(object, "live_blocks", end->totals->live_blocks);
	add_number(object, "before_attach_bytes", before.live_bytes);
	add_number(object, "peak_bytes", end->totals->peak_bytes);
	add_number(object, "rss_bytes", view_rss_bytes(said->snapshot));
	add_number(object, "lost_bytes",
		   end->holds && end->holds->lost ? end->holds->lost->bytes : 0);
	add_number(object, "lost_age_ns", end->holds ? dhat_held_age_ns(said->snapshot) : 0);
	if (!end->holds) { /* null is not 0: nobody has looked */
		json_object_object_add(object, "lost_bytes", NULL);
		json_object_object_add(object, "lost_age_ns", NULL);
	}
	json_object_object_add(object, "keeps",
			       json_object_new_string(dhat_keeping_name(said->keeping)));
	json_object_object_add(object, "growth_bytes_per_minute",
			       json_object_new_int64((int64_t)live_growth(end->timeline)));
}

static void print_json(const struct explanation *said, FILE *file)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();
	const Dhat__Target *target = said->snapshot->head->target;
	const Dhat__Verdict *verdict = said->snapshot->end->verdict;
	char program[DHAT_PROGRAM_CHARS];

	dhat_program_name(target->command, target->executable, program);
	add_number(object, "version", EXPLAIN_VERSION);
	add_number(object, "pid", target->pid);
	if (said->snapshot->pid_count)
		add_number(object, "processes", said->snapshot->pid_count);
	add_text(object, "program", program, said->room->chars);
	add_text(object, "state", target->state, said->room->chars);
	add_number(object, "since_unix_ns", target->observed_since_unix_ns);
	add_number(object, "observed_ns", target->observed_ns);
	add_text(object, "verdict", dhat_verdict_word(dhat_verdict_of(verdict)), said->room->chars);
	add_text(object, "reason", verdict->n_reasons ? verdict->reasons[0] : "",
		 said->room->chars);
	add_figures(object, said);
	add_text(object, "headline", said->headline, SUSPICION_CHARS);
	add_number(object, "suspect_count", said->suspects.suspect_count);
	for (size_t i = 0; i < said->shown; i++)
		json_object_array_add(list, suspect_as_json(said, i));
	json_object_object_add(object, "suspects", list);
	if (said->room->has_sentences)
		add_text(object, "keeps_why", said->keeps, DHAT_KEEPING_CHARS);
	add_text(object, "next", said->next, NEXT_CHARS);
	add_text(object, "next_why", said->next_why, SUSPICION_CHARS);
	dhat_json_put(file, object);
	fputc('\n', file);
	json_object_put(object);
}

/* ---- for people ---------------------------------------------------------------------------- */

static void print_verdict(struct screen *screen, const struct explanation *said)
{
	const Dhat__Verdict *verdict = said->snapshot->end->verdict;
	_cleanup_free_ char *reason =
		cut(verdict->n_reasons ? verdict->reasons[0] : "", said->room->chars);
	const char *word = dhat_verdict_word(dhat_verdict_of(verdict));

	screen_print(screen, verdict->exact ? MARK_NONE : MARK_BAD, "%s", word);
	fputs(!verdict->exact && reason && *reason ? ": " : "", screen->file);
	screen_continue(screen, 2, strlen(word) + 2, !verdict->exact && reason ? reason : "");
}

static void print_figures(struct screen *screen, const struct explanation *said)
{
	const Dhat__SnapshotEnd *end = said->snapshot->end;
	double growth = live_growth(end->timeline);
	const char *rss = view_rss(said->snapshot);
	struct dhat_interval interval;
	struct dhat_evidence evidence;
	char live[DHAT_UNIT_CHARS], peak[DHAT_UNIT_CHARS], size[DHAT_UNIT_CHARS], text[256];

	dhat_evidence_of_snapshot(said->snapshot, &evidence);
	interval = dhat_interval_of(said->snapshot->head->sample_bytes, &evidence,
				    DHAT_ESTIMATED_LIVE, end->totals->live_bytes);
	snprintf(text, sizeof(text), "%s live in %s%s, %s%s at the peak%s%s",
		 dhat_format_size(end->totals->live_bytes, live),
		 view_counted(end->totals->live_blocks, "block"), view_interval(&interval),
		 said->snapshot->pid_count ? "at most " : "",
		 dhat_format_size(end->totals->peak_bytes, peak), *rss ? ", " : "", rss);
	if (growth >= 1)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "; grows %s a minute",
			 dhat_format_size((uint64_t)growth, size));
	screen_paragraph(screen, 0, text);
}

static void print_suspect(struct screen *screen, const struct explanation *said, size_t i)
{
	const struct dhat_suspect *suspect = &said->suspects.list[i];
	const char *line = said->by_line->lines[suspect->point->lines[0]], *place;
	_cleanup_free_ char *name = NULL, *function = NULL, *where = NULL, *text = NULL;
	char why[SUSPICION_CHARS], word[DHAT_WORD_CHARS];

	dhat_table_line_split(line, &name, &place);
	function = cut(name ?: "", said->room->chars);
	where = cut(place ?: "", said->room->chars);
	if (suspect->suspicion.lost_blocks)
		strcpy(word, "lost");
	else
		snprintf(word, sizeof(word), "%s confidence",
			 dhat_confidence_name(suspect->suspicion.confidence));
	if (!function || !where ||
	    asprintf(&text, "%s%s%s (%s)", function, *where ? " at " : "", where, word) < 0)
		return;
	fprintf(screen->file, "%4zu. ", i + 1);
	screen_paragraph(screen, 6, text);
	suspicion_why(said->snapshot, suspect, why);
	fprintf(screen->file, "%6s", "");
	screen_paragraph(screen, 6, why);
}

static void print_text(const struct explanation *said, FILE *file)
{
	struct screen screen;

	screen_init(&screen, stdout);
	screen.file = file;
	view_targets(&screen, "", said->snapshot);
	print_verdict(&screen, said);
	print_figures(&screen, said);
	if (*said->keeps && said->room->has_sentences)
		screen_paragraph(&screen, 2, said->keeps);
	if (*said->lost && said->room->has_sentences)
		screen_paragraph(&screen, 2, said->lost);
	screen_print(&screen, MARK_BOLD, "%s", said->headline);
	fputs(said->shown ? ":\n" : ".\n", file);
	for (size_t i = 0; i < said->shown; i++)
		print_suspect(&screen, said, i);
	fprintf(file, "Next: %s   (%s)\n", said->next, said->next_why);
}

/* ---- both ---------------------------------------------------------------------------------- */

static int print(struct explanation *said, const struct explain_options *wanted)
{
	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
		_cleanup_free_ char *text = NULL;
		size_t size = 0, count = said->suspects.suspect_count;
		FILE *file = open_memstream(&text, &size);

		if (!file)
			return -ENOMEM;
		said->room = &rooms[i];
		said->shown = count < rooms[i].suspects ? count : rooms[i].suspects;
		find_next(said, wanted->subject.path);
		if (wanted->common.as_json)
			print_json(said, file);
		else
			print_text(said, file);
		if (fclose(file))
			return -ENOMEM;
		if (size <= wanted->budget_bytes || i + 1 == ARRAY_SIZE(rooms)) {
			fputs(text, stdout);
			break;
		}
	}
	return 0;
}

/* A leak and a cache are told by the suspects; that the allocator has what no block has is not. */
static void find_keeping(struct explanation *said)
{
	const Dhat__SnapshotEnd *end = said->snapshot->end;
	double growth;

	said->keeping = DHAT_KEEPS_UNKNOWN;
	if (said->snapshot->head->has_pages)
		said->keeping = dhat_keeping_judge(said->by_line, &said->suspects, &growth);
	if (said->keeping == DHAT_KEEPS_FRAGMENTS || said->keeping == DHAT_KEEPS_FREE)
		dhat_keeping_say(said->keeping, end->pages, growth, said->keeps);
	/* else the headline says it; blocks from before the attach are no suspects */
	if (end->holds && (!said->suspects.count || !said->suspects.list[0].suspicion.lost_blocks))
		dhat_held_say(said->snapshot, said->lost);
}

static int explain(const struct explain_options *wanted, const struct dhat_snapshot *snapshot)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *by_line = NULL;
	const struct dhat_table_options by = { .style.by = DHAT_BY_LINE };
	struct explanation said = { .snapshot = snapshot };
	int r = dhat_table_new(snapshot, &by, &by_line);

	if (r == 0)
		r = dhat_suspects_find(by_line, &said.suspects);
	if (r == 0) {
		said.by_line = by_line;
		dhat_suspects_headline(by_line, &said.suspects, said.headline);
		find_keeping(&said);
		r = print(&said, wanted);
	}
	dhat_suspects_deinit(&said.suspects);
	return r;
}

static int run(const struct explain_options *wanted, struct dhat_error *err)
{
	_cleanup_(programs_deinit) struct programs programs = { 0 };
	bool is_list = wanted->common.as_json && wanted->subject.is_all;
	int r = subject_fetch_all(&wanted->subject, &wanted->common, "explain", &programs, err);

	for (size_t i = 0; r == 0 && i < programs.count; i++)
		r = input_check_history(programs.list[i], err);
	if (r < 0)
		return r;
	fputs(is_list ? "[\n" : "", stdout);
	for (size_t i = 0; r == 0 && i < programs.count; i++) {
		if (i)
			fputs(is_list ? ",\n" : "\n", stdout);
		r = explain(wanted, programs.list[i]);
	}
	fputs(is_list ? "]\n" : "", stdout);
	return r < 0 ? dhat_error_errno(err, -r, "cannot explain the profile") : 0;
}

int cmd_explain(int argc, char **argv, struct dhat_error *err)
{
	struct explain_options wanted = { .subject.with_pages = true,
					  .budget_bytes = DEFAULT_BUDGET };
	int r = command_parse(&cmd_explain_argp, argc, argv, &wanted, &wanted.common, err);

	return r < 0 || wanted.common.is_done ? r : run(&wanted, err);
}
