#include "top_live.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/say.h"
#include "proto/base/text.h"
#include "proto/base/texts.h"
#include "proto/base/units.h"
#include "proto/export/export.h"
#include "proto/profile/mark.h"
#include "proto/wire/words.h"
#include "rows.h"
#include "top_screen.h"
#include "top_text.h"
#include "view.h"
#include "written.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)
DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

#define SECOND_NS 1000000000ull
#define MESSAGE_NS (5 * SECOND_NS) /* how long one is read */
#define SLOW_NS (2 * SECOND_NS)	   /* an answer that takes longer is spoken of */
#define STACKS_SHOWN 50		   /* of an opened row, the largest */

struct live {
	const struct top_live_options *options;
	uint32_t pid;
	struct dhat_view view;
	struct top_model model;
	struct top_shown shown;
	char **lines; /* of the page */
	char message[640];
	uint64_t message_end_ns; /* 0: there is none */
	char typed[128];
	/* the answer that is under way */
	struct client *client; /* NULL: none is */
	struct dhat_snapshot *answer;
	bool is_for_file; /* it is the whole profile, to be written */
	uint64_t asked_ns, next_ns;
	struct dhat_error lost; /* why there is none; code DHAT_EXIT_OK: there is */
	bool wants_file;	/* as soon as nothing else is under way */
	bool has_quit;
	bool is_dirty;
};

static volatile sig_atomic_t ended_by;

static void note_signal(int number)
{
	ended_by = number;
}

__attribute__((format(printf, 2, 3))) static void tell(struct live *live, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(live->message, sizeof(live->message), format, args);
	va_end(args);
	live->message_end_ns = clock_now_ns(CLOCK_MONOTONIC) + MESSAGE_NS;
	live->is_dirty = true;
}

/* ---- answers ------------------------------------------------------------------------------- */

static void end_asking(struct live *live)
{
	client_free(live->client);
	dhat_snapshot_free(live->answer);
	live->client = NULL;
	live->answer = NULL;
	live->is_for_file = false;
}

/* What it told last stays on the screen, and it is asked again: it may come back. */
static void lose(struct live *live, const struct dhat_error *why)
{
	if (live->is_for_file)
		tell(live, "Nothing was written: %s", why->message);
	end_asking(live);
	live->lost = *why;
	if (!live->lost.code)
		live->lost.code = DHAT_EXIT_FAILED;
	live->is_dirty = true;
}

static int ask(struct live *live, struct dhat_error *err)
{
	Dhat__SnapshotRequest body = DHAT__SNAPSHOT_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;
	Dhat__Seen seen;
	int r;

	live->is_for_file = live->wants_file;
	live->wants_file = false;
	live->asked_ns = clock_now_ns(CLOCK_MONOTONIC);
	r = client_new(live->options->socket_path, &live->client, err);
	if (r < 0)
		return r;
	body.pid = live->pid;
	dhat_view_ask(&live->view, &seen);
	if (!live->is_for_file)
		body.view = &seen;
	body.with_marks = !live->is_for_file;
	request.body_case = DHAT__REQUEST__BODY_SNAPSHOT;
	request.snapshot = &body;
	r = client_ask(live->client, &request, err);
	return r < 0 ? r : dhat_snapshot_new(&live->answer);
}

static bool is_attached(const struct live *live)
{
	return !strcmp(live->view.snapshot->head->target->state, DHAT_STATE_ATTACHED);
}

static int make_page(struct live *live);

/* The answer is there. */
static int show_answer(struct live *live, struct dhat_error *err)
{
	bool was_attached = is_attached(live), was_lost = live->lost.code != DHAT_EXIT_OK;
	int r = dhat_view_take(&live->view, take_ptr(live->answer), err);

	end_asking(live);
	live->lost = (struct dhat_error){ 0 };
	if (r == 0)
		r = top_model_take(&live->model, &live->view);
	if (r == 0)
		r = make_page(live);
	if (r < 0)
		return r;
	if (was_attached && !is_attached(live))
		tell(live, "The process is watched no more (%s): this is what it was at the end",
		     live->view.snapshot->head->target->state);
	else if (live->view.is_another || was_lost)
		tell(live, live->view.is_another ? "Another watch has begun: all is counted anew"
						 : "dhatd answers again");
	live->is_dirty = true;
	return 0;
}

static int write_answer(struct live *live)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = take_ptr(live->answer);
	_cleanup_free_ char *path = written_name(snapshot, &dhat_lossless_exporter);
	struct dhat_error why = { 0 };

	end_asking(live);
	if (!path)
		return -ENOMEM;
	if (dhat_save(snapshot, path, &dhat_lossless_exporter, NULL, &why) < 0)
		tell(live, "Nothing was written: %s", why.message);
	else
		tell(live, "Written to %s", path);
	return 0;
}

static int receive(struct live *live)
{
	struct dhat_error why = { 0 };
	bool is_last = false;
	int r = client_receive_part(live->client, live->answer, &is_last, &why);

	if (r == 0 && is_last)
		r = dhat_snapshot_finish(live->answer, &why);
	if (r == 0 && is_last)
		r = live->is_for_file ? write_answer(live) : show_answer(live, &why);
	if (r == -EBADMSG) /* it does not go with what is here */
		live->view.wants_whole = true;
	if (r < 0 && r != -ENOMEM)
		lose(live, &why);
	return r == -ENOMEM ? r : 0;
}

static int ask_in_time(struct live *live)
{
	uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
	struct dhat_error why = { 0 };
	int r;

	if (live->client ||
	    (!live->wants_file && (live->shown.is_frozen || now_ns < live->next_ns)))
		return 0;
	if (!live->wants_file)
		live->next_ns = now_ns + live->options->every_ns;
	r = ask(live, &why);
	if (r < 0 && r != -ENOMEM)
		lose(live, &why);
	return r == -ENOMEM ? r : 0;
}

/* ---- pages --------------------------------------------------------------------------------- */

static int split_lines(char *text, char ***ret)
{
	char *line;
	int r = 0;

	while (r == 0 && (line = strsep(&text, "\n")))
		r = texts_add(ret, line);
	return r;
}

static void print_stacks(FILE *file, const struct live *live, struct dhat_rendering *table)
{
	const struct top_model *model = &live->model;
	const struct rows_options options = { .key = RANK_BY_LIVE, .top = STACKS_SHOWN };
	const struct top_row *row = &model->rows[model->selected];
	struct screen screen = { .file = file, .width = top_screen_columns() };
	char text[256], size[DHAT_UNIT_CHARS], grown[128] = "no growth";

	if (row->grown_bytes || row->grown_blocks)
		snprintf(grown, sizeof(grown), "%s%s in %+" PRId64 " blocks",
			 row->grown_bytes < 0 ? "-" : "+",
			 dhat_format_size(row->grown_bytes < 0 ? -(uint64_t)row->grown_bytes
							       : (uint64_t)row->grown_bytes,
					  size),
			 row->grown_blocks);
	snprintf(text, sizeof(text), "%s live in %s; %s since %s; %s allocations a second",
		 dhat_format_size(row->live_bytes, size), view_counted(row->live_blocks, "block"),
		 grown,
		 view_moment(model->snapshot->head->target->observed_since_unix_ns +
			     model->baseline_ns),
		 view_count((uint64_t)(row->allocs_per_second + 0.5)));
	screen_paragraph(&screen, 0, text);
	rows_print(&screen, table, &options);
	if (!table->points[0]->live_bytes) /* the list has none then */
		rows_print_stack(&screen, table, table->points[0]);
}

static int stacks_page(struct live *live, FILE *file)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *table = NULL;
	int r;

	if (!live->model.row_count)
		return 0;
	r = top_model_open(&live->model, &live->model.rows[live->model.selected], &table);
	if (r == 0 && table->point_count)
		print_stacks(file, live, table);
	return r;
}

static void help_page(const struct live *live, FILE *file)
{
	static const char text[] =
		"Keys\n"
		"  arrows, j k, Page, Home, End   select a row; Home: whatever is first\n"
		"  Enter         the stacks of the selected row, with figures of each\n"
		"  s S           sort by the next, the previous figure\n"
		"  g G           group by stack, function, line, file, object, thread\n"
		"  /             show only stacks with a function, file or object that matches;\n"
		"                * stands for anything; an empty one shows all\n"
		"  b             count growth from now on\n"
		"  m             make a mark (top-1, top-2 …): growth is what is allocated from\n"
		"                now on and lives, block by block\n"
		"  d             the same since the next mark that there is, then as before\n"
		"  space         freeze, and go on\n"
		"  w             write the profile as it is now into a .dhat file, here\n"
		"  r             look all names up anew (of code made at run time)\n"
		"  q             back, or leave\n"
		"\n"
		"Figures\n"
		"  LIVE, BLOCKS  what is allocated and not freed\n"
		"  GROWTH        of LIVE since the view began, or since b; A MINUTE: its mean\n"
		"  ALLOCS/S      allocations a second, since the last look\n"
		"  TOTAL         ever allocated, freed or not; LATEST: how long ago the last was\n"
		"  The curve is what was live since the view began; its bounds stand behind it.\n";
	struct screen screen = { .file = file, .width = top_screen_columns() };
	const Dhat__Verdict *verdict = live->view.snapshot->end->verdict;

	if (verdict->exact)
		fputs("The numbers are exact: each call of each allocator was seen.\n", file);
	view_verdict(&screen, verdict, "");
	fputs(text, file);
}

/* Anew, after an answer, and where the terminal has another size. */
static int make_page(struct live *live)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *file;
	int r = 0;

	texts_free(live->lines);
	live->lines = NULL;
	live->shown.lines = NULL;
	live->shown.line_count = 0;
	live->is_dirty = true;
	if (live->shown.page == TOP_LIST)
		return 0;
	file = open_memstream(&text, &size);
	if (!file)
		return -ENOMEM;
	if (live->shown.page == TOP_STACKS)
		r = stacks_page(live, file);
	else
		help_page(live, file);
	if (fclose(file))
		r = -ENOMEM;
	if (r == 0)
		r = split_lines(text, &live->lines);
	live->shown.lines = live->lines;
	while (live->lines && live->lines[live->shown.line_count])
		live->shown.line_count++;
	return r;
}

static int turn_to(struct live *live, enum top_page page)
{
	live->shown.page = page;
	live->shown.first = 0;
	return make_page(live);
}

/* ---- keys ---------------------------------------------------------------------------------- */

static int type(struct live *live, int key)
{
	size_t length = strlen(live->typed);
	int r;

	switch (key) {
	case TOP_KEY_ENTER:
		r = top_model_set_pattern(&live->model, live->typed);
		live->shown.prompt = NULL;
		live->shown.first = 0;
		return r;
	case TOP_KEY_ESCAPE:
		live->shown.prompt = NULL;
		return 0;
	case TOP_KEY_ERASE: /* a whole character */
		while (length && ((unsigned char)live->typed[--length] & 0xc0) == 0x80)
			continue;
		live->typed[length] = 0;
		return 0;
	case 'U' & 0x1f:
		live->typed[0] = 0;
		return 0;
	default:
		if (key >= ' ' && key <= 0xff && length + 1 < sizeof(live->typed)) {
			live->typed[length] = (char)key;
			live->typed[length + 1] = 0;
		}
		return 0;
	}
}

static int regroup(struct live *live, int step)
{
	enum dhat_by by = live->model.options.table.style.by;

	live->shown.first = 0;
	return top_model_set_by(&live->model, (by + DHAT_BY_COUNT + step) % DHAT_BY_COUNT);
}

static void resort(struct live *live, int step)
{
	enum top_key key = live->model.options.key;

	top_model_sort(&live->model, (key + TOP_KEY_COUNT + step) % TOP_KEY_COUNT);
	live->shown.first = 0;
}

static void freeze(struct live *live)
{
	live->shown.is_frozen = !live->shown.is_frozen;
	live->next_ns = 0;
	if (live->shown.is_frozen && !live->is_for_file)
		end_asking(live);
}

static void scroll_lines(struct live *live, long lines)
{
	size_t first = live->shown.first;

	if (lines < 0)
		first -= (size_t)-lines < first ? (size_t)-lines : first;
	else
		first += (size_t)lines;
	live->shown.first = first;
}

/* By so many rows, or lines; FAR is beyond any list. */
#define FAR (1l << 40)
static void move(struct live *live, long by)
{
	if (live->shown.page != TOP_LIST)
		scroll_lines(live, by);
	else if (by == -FAR)
		top_model_select_first(&live->model);
	else
		top_model_move(&live->model, by);
}

static bool take_movement(struct live *live, int key)
{
	long page = (long)top_screen_page_rows();
	const struct {
		int key;
		long by;
	} keys[] = {
		{ TOP_KEY_UP, -1 },	    { 'k', -1 },
		{ TOP_KEY_DOWN, 1 },	    { 'j', 1 },
		{ TOP_KEY_PAGE_UP, -page }, { TOP_KEY_PAGE_DOWN, page },
		{ TOP_KEY_HOME, -FAR },	    { TOP_KEY_END, FAR },
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (keys[i].key == key) {
			move(live, keys[i].by);
			return true;
		}
	}
	return false;
}

/* "top-1", or the first such name that no mark has. */
static void name_mark(const struct live *live, char *ret, size_t size)
{
	for (unsigned i = 1; i <= DHAT_SNAPSHOT_MAX_MARKS + 1; i++) {
		snprintf(ret, size, "top-%u", i);
		if (!dhat_mark_find(live->view.snapshot, ret))
			return;
	}
}

static int make_mark(struct live *live)
{
	Dhat__MarkRequest body = DHAT__MARK_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;
	Dhat__Response *response = NULL;
	struct dhat_error why = { 0 };
	char name[32] = "";
	int r;

	name_mark(live, name, sizeof(name));
	body.pid = live->pid;
	body.name = name;
	request.body_case = DHAT__REQUEST__BODY_MARK;
	request.mark = &body;
	if (client_call(live->options->socket_path, &request, DHAT__RESPONSE__BODY_DONE, &response,
			&why) < 0) {
		tell(live, "No mark was made: %s", why.message);
		return 0;
	}
	dhat__response__free_unpacked(response, NULL);
	live->next_ns = 0;
	r = top_model_set_since(&live->model, name);
	tell(live, "Marked %s: SINCE is what is allocated from now on and lives", name);
	return r;
}

/* Since the next mark, or behind the last one since the baseline. */
static int choose_mark(struct live *live)
{
	const Dhat__SnapshotHead *head = live->view.snapshot->head;
	const char *name =
		live->model.since < head->n_marks ? head->marks[live->model.since]->name : NULL;
	int r = top_model_set_since(&live->model, name);

	if (!head->n_marks)
		tell(live, "There is no mark: m makes one");
	else if (name)
		tell(live, "SINCE is what was allocated since %s, and lives", name);
	else
		tell(live, "Growth counts as before");
	return r < 0 ? r : make_page(live);
}

/* Keys that do the same on each page. */
static int take_common(struct live *live, int key)
{
	switch (key) {
	case 'b':
		top_model_set_baseline(&live->model);
		tell(live, "Growth counts from now on");
		return make_page(live);
	case 'm':
		return make_mark(live);
	case 'd':
		return choose_mark(live);
	case ' ':
		freeze(live);
		return 0;
	case 'w':
		live->wants_file = true;
		tell(live, "The profile is being fetched");
		return 0;
	case 'r':
		live->view.wants_whole = true;
		live->next_ns = 0;
		tell(live, "Names are looked up anew");
		return 0;
	case '?':
	case 'h':
		return turn_to(live, TOP_HELP);
	case 'L' & 0x1f:
		top_screen_repair();
		return 0;
	case TOP_KEY_RESIZE:
		return make_page(live);
	default:
		return 0;
	}
}

static int take_key(struct live *live, int key)
{
	bool is_list = live->shown.page == TOP_LIST;

	live->is_dirty = true;
	if (live->shown.prompt && key != TOP_KEY_RESIZE)
		return type(live, key);
	live->message_end_ns = 0;
	if (take_movement(live, key))
		return 0;
	if (key == 'q' && is_list) {
		live->has_quit = true;
		return 0;
	}
	if ((key == 'q' || key == TOP_KEY_ESCAPE) && !is_list)
		return turn_to(live, TOP_LIST);
	if (!is_list)
		return take_common(live, key);
	switch (key) {
	case 's':
	case 'S':
		resort(live, key == 's' ? 1 : -1);
		return 0;
	case 'g':
	case 'G':
		return regroup(live, key == 'g' ? 1 : -1);
	case '/':
		live->shown.prompt = live->typed;
		return 0;
	case TOP_KEY_ENTER:
		return live->model.row_count ? turn_to(live, TOP_STACKS) : 0;
	default:
		return take_common(live, key);
	}
}

/* ---- the loop ------------------------------------------------------------------------------ */

/* Another reason than that it has gone is worth its words. */
static void lost_message(struct live *live)
{
	const char *when = view_moment(live->view.snapshot->head->taken_unix_ns);

	if (live->lost.code == DHAT_EXIT_NO_DAEMON || live->lost.code == DHAT_EXIT_PROTOCOL)
		snprintf(live->message, sizeof(live->message),
			 "dhatd does not answer any more: this is what was at %s", when);
	else
		snprintf(live->message, sizeof(live->message), "This is what was at %s: %s", when,
			 live->lost.message);
}

static void choose_message(struct live *live, uint64_t now_ns)
{
	_cleanup_free_ char *clean = NULL;

	live->shown.message = live->message_end_ns ? live->message : NULL;
	if (live->lost.code != DHAT_EXIT_OK) {
		lost_message(live);
		live->shown.message = live->message;
	} else if (live->client && now_ns - live->asked_ns > SLOW_NS) {
		snprintf(live->message, sizeof(live->message), "dhatd has not answered for %d s",
			 (int)((now_ns - live->asked_ns) / SECOND_NS));
		live->shown.message = live->message;
	}
	clean = dhat_text_clean(live->message);
	if (clean)
		snprintf(live->message, sizeof(live->message), "%s", clean);
}

/* Until there is something to do: a key, a part of an answer, the time to ask. */
static int wait_for_something(struct live *live)
{
	struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
				 { .fd = live->client ? client_fd(live->client) : -1,
				   .events = POLLIN } };
	uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC), end_ns = now_ns + SECOND_NS / 2;
	int timeout;

	if (!live->client && !live->shown.is_frozen && live->next_ns < end_ns)
		end_ns = live->next_ns > now_ns ? live->next_ns : now_ns;
	timeout = (int)((end_ns - now_ns + 999999) / 1000000);
	if (poll(fds, 2, timeout) < 0)
		return 0; /* a signal: a new size, or the end */
	if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		live->has_quit = true; /* the terminal has gone */
	return fds[1].revents ? receive(live) : 0;
}

static int run_loop(struct live *live)
{
	int r = 0;

	while (r == 0 && !live->has_quit && !ended_by) {
		uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
		int key;

		if (live->message_end_ns && now_ns > live->message_end_ns) {
			live->message_end_ns = 0;
			live->is_dirty = true;
		}
		live->is_dirty |= live->client && now_ns - live->asked_ns > SLOW_NS;
		if (live->is_dirty) {
			choose_message(live, now_ns);
			top_screen_draw(&live->model, &live->shown);
			live->is_dirty = false;
		}
		r = wait_for_something(live);
		while (r == 0 && !live->has_quit && (key = top_screen_key()) != TOP_KEY_NONE)
			r = take_key(live, key);
		if (r == 0 && !live->has_quit)
			r = ask_in_time(live);
	}
	return r;
}

static void catch_signals(void)
{
	/* no SA_RESTART: what waits shall notice */
	const struct sigaction action = { .sa_handler = note_signal };

	ended_by = 0;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* What a person who looks at the shell again should know. */
static void say_what_happened(const struct live *live)
{
	if (live->view.snapshot && !is_attached(live)) {
		_cleanup_free_ char *title = top_text_title(&live->model);

		dhat_say("dhatctl", "top: %s", title ?: "");
	}
	if (ended_by)
		dhat_say("dhatctl", "top: ended by SIG%s", sigabbrev_np(ended_by));
}

/* Whoever waits for us sees that it was the signal. */
static void end_as_told(void)
{
	if (!ended_by)
		return;
	signal(ended_by, SIG_DFL);
	raise(ended_by);
}

static int run(struct live *live, struct dhat_error *err)
{
	int r = client_view(live->options->socket_path, live->pid, &live->view, err);

	if (r < 0)
		return r;
	live->pid = live->view.snapshot->head->target->pid; /* and no other that comes */
	r = top_model_take(&live->model, &live->view);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot show the profile");
	catch_signals();
	r = top_screen_open(err);
	if (r < 0)
		return r;
	live->next_ns = clock_now_ns(CLOCK_MONOTONIC) + live->options->every_ns;
	live->is_dirty = true;
	r = run_loop(live);
	top_screen_close();
	say_what_happened(live);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot go on");
	if (live->lost.code != DHAT_EXIT_OK)
		return dhat_error_set(err, EIO, live->lost.code, "%s", live->lost.message);
	return 0;
}

int top_live_run(const struct top_live_options *options, struct dhat_error *err)
{
	struct live live = { .options = options, .pid = options->pid };
	int r;

	top_model_init(&live.model, &options->model);
	r = run(&live, err);
	end_asking(&live);
	texts_free(live.lines);
	top_model_deinit(&live.model);
	dhat_view_deinit(&live.view);
	end_as_told();
	return r;
}
