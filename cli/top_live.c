#include "top_live.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/say.h"
#include "proto/base/text.h"
#include "proto/base/texts.h"
#include "proto/export/export.h"
#include "proto/wire/words.h"
#include "top_private.h"
#include "top_text.h"
#include "view.h"
#include "written.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

#define MESSAGE_NS (5 * SECOND_NS) /* how long one is read */
#define SLOW_NS (2 * SECOND_NS)	   /* an answer that takes longer is spoken of */

static volatile sig_atomic_t ended_by;

static void note_signal(int number)
{
	ended_by = number;
}

void top_tell(struct live *live, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(live->message, sizeof(live->message), format, args);
	va_end(args);
	live->message_end_ns = clock_now_ns(CLOCK_MONOTONIC) + MESSAGE_NS;
	live->is_dirty = true;
}

/* ---- answers ------------------------------------------------------------------------------- */

void top_end_asking(struct live *live)
{
	client_free(live->client);
	dhat_snapshot_free(live->answer);
	live->client = NULL;
	live->answer = NULL;
	live->errand = TOP_LOOK;
}

/* What it told last stays on the screen, and it is asked again: it may come back. */
static void lose(struct live *live, const struct dhat_error *why)
{
	if (live->errand == TOP_WRITE)
		top_tell(live, "Nothing was written: %s", why->message);
	top_end_asking(live);
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

	live->errand = live->wants_file ? TOP_WRITE : live->wants_past ? TOP_REMEMBER : TOP_LOOK;
	live->wants_past &= live->wants_file;
	live->wants_file = false;
	live->asked_ns = clock_now_ns(CLOCK_MONOTONIC);
	r = client_new(live->options->socket_path, &live->client, err);
	if (r < 0)
		return r;
	body.pid = live->pid;
	dhat_view_ask(&live->view, &seen);
	if (live->errand == TOP_LOOK)
		body.view = &seen;
	body.with_marks = live->errand == TOP_LOOK;
	request.body_case = DHAT__REQUEST__BODY_SNAPSHOT;
	request.snapshot = &body;
	r = client_ask(live->client, &request, err);
	return r < 0 ? r : dhat_snapshot_new(&live->answer);
}

static bool is_attached(const struct live *live)
{
	return live->view.snapshot &&
	       !strcmp(live->view.snapshot->head->target->state, DHAT_STATE_ATTACHED);
}

/* The answer is there. */
static int show_answer(struct live *live, struct dhat_error *err)
{
	bool was_attached = is_attached(live), was_lost = live->lost.code != DHAT_EXIT_OK;
	bool is_new = !live->view.snapshot; /* the first of a process that was chosen */
	int r = dhat_view_take(&live->view, take_ptr(live->answer), err);

	top_end_asking(live);
	live->lost = (struct dhat_error){ 0 };
	if (r == 0)
		r = top_model_take(&live->model, &live->view);
	if (r == 0)
		r = is_new ? top_turn_to(live, TOP_LIST) : top_make_page(live);
	live->is_attaching = false;
	if (r < 0)
		return r;
	if (was_attached && !is_attached(live))
		top_tell(live,
			 "The process is watched no more (%s): this is what it was at the end",
			 live->view.snapshot->head->target->state);
	else if (!is_new && (live->view.is_another || was_lost))
		top_tell(live, live->view.is_another
				       ? "Another watch has begun: all is counted anew"
				       : "dhatd answers again");
	live->is_dirty = true;
	return 0;
}

static int write_answer(struct live *live)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = take_ptr(live->answer);
	_cleanup_free_ char *path = written_name(snapshot, &dhat_lossless_exporter);
	struct dhat_error why = { 0 };

	top_end_asking(live);
	if (!path)
		return -ENOMEM;
	if (dhat_save(snapshot, path, &dhat_lossless_exporter, NULL, &why) < 0)
		top_tell(live, "Nothing was written: %s", why.message);
	else
		top_tell(live, "Written to %s", path);
	return 0;
}

/* The page that wanted it may be left by now. */
static int show_past(struct live *live)
{
	dhat_snapshot_free(live->past);
	live->past = take_ptr(live->answer);
	top_end_asking(live);
	return top_make_page(live);
}

static int take_answer(struct live *live, struct dhat_error *why)
{
	switch (live->errand) {
	case TOP_WRITE:
		return write_answer(live);
	case TOP_REMEMBER:
		return show_past(live);
	default:
		return show_answer(live, why);
	}
}

static int receive(struct live *live)
{
	struct dhat_error why = { 0 };
	bool is_last = false;
	int r = client_receive_part(live->client, live->answer, &is_last, &why);

	if (r == 0 && is_last)
		r = dhat_snapshot_finish(live->answer, &why);
	if (r == 0 && is_last)
		r = take_answer(live, &why);
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

	if (live->client || !live->pid ||
	    (!live->wants_file && !live->wants_past &&
	     (live->shown.is_frozen || now_ns < live->next_ns)))
		return 0;
	if (!live->wants_file && !live->wants_past)
		live->next_ns = now_ns + live->options->every_ns;
	r = ask(live, &why);
	if (r < 0 && r != -ENOMEM)
		lose(live, &why);
	return r == -ENOMEM ? r : 0;
}

/* ---- the loop ------------------------------------------------------------------------------ */

/* Another reason than that it has gone is worth its words. */
static void lost_message(struct live *live)
{
	const char *when =
		live->view.snapshot ? view_moment(live->view.snapshot->head->taken_unix_ns) : NULL;

	if (!when)
		snprintf(live->message, sizeof(live->message), "%s", live->lost.message);
	else if (live->lost.code == DHAT_EXIT_NO_DAEMON || live->lost.code == DHAT_EXIT_PROTOCOL)
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
	struct pollfd fds[3] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = live->client ? client_fd(live->client) : -1, .events = POLLIN },
		{ .fd = live->other ? client_fd(live->other) : -1, .events = POLLIN },
	};
	uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC), end_ns = now_ns + SECOND_NS / 2;
	int timeout, r;

	if (!live->client && !live->shown.is_frozen && live->next_ns < end_ns)
		end_ns = live->next_ns > now_ns ? live->next_ns : now_ns;
	timeout = (int)((end_ns - now_ns + 999999) / 1000000);
	if (poll(fds, 3, timeout) < 0)
		return 0; /* a signal: a new size, or the end */
	if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		live->has_quit = true; /* the terminal has gone */
	r = fds[1].revents ? receive(live) : 0;
	return r == 0 && fds[2].revents ? top_processes_receive(live) : r;
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
			r = top_take_key(live, key);
		if (r == 0 && !live->has_quit)
			r = ask_in_time(live);
		if (r == 0 && !live->has_quit)
			r = top_processes_ask(live);
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

/* Without a target the list of processes is where one is chosen. */
static int begin(struct live *live, struct dhat_error *err)
{
	struct dhat_error why = { 0 };
	int r = client_view(live->options->socket_path, live->pid, &live->view, &why);

	if (r < 0 && why.code == DHAT_EXIT_NO_PROCESS && !live->pid) {
		live->shown.page = TOP_PROCESSES;
		return top_make_page(live);
	}
	if (r < 0)
		return dhat_error_set(err, -r, why.code, "%s", why.message);
	live->pid = live->view.snapshot->head->target->pid; /* and no other that comes */
	r = top_model_take(&live->model, &live->view);
	return r < 0 ? dhat_error_errno(err, -r, "cannot show the profile") : 0;
}

static int run(struct live *live, struct dhat_error *err)
{
	int r = begin(live, err);

	if (r < 0)
		return r;
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
	top_end_asking(&live);
	top_processes_deinit(&live);
	dhat_snapshot_free(live.past);
	texts_free(live.lines);
	top_model_deinit(&live.model);
	dhat_view_deinit(&live.view);
	end_as_told();
	return r;
}
