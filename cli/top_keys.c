#include "top_private.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/profile/mark.h"

static int type(struct live *live, int key)
{
	size_t length = strlen(live->typed);
	int r;

	switch (key) {
	case TOP_KEY_ENTER:
		live->shown.prompt = NULL;
		live->shown.first = 0;
		if (live->shown.page == TOP_PROCESSES)
			return top_processes_filter(live);
		r = top_model_set_pattern(&live->model, live->typed);
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
	if (live->shown.is_frozen && live->errand == TOP_LOOK)
		top_end_asking(live);
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

/* By so many rows, or lines. */
static void move(struct live *live, long by)
{
	if (live->shown.page == TOP_PROCESSES)
		top_processes_move(live, by);
	else if (live->shown.page != TOP_LIST)
		scroll_lines(live, by);
	else if (by == -TOP_FAR)
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
		{ TOP_KEY_HOME, -TOP_FAR }, { TOP_KEY_END, TOP_FAR },
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
		top_tell(live, "No mark was made: %s", why.message);
		return 0;
	}
	dhat__response__free_unpacked(response, NULL);
	live->next_ns = 0;
	r = top_model_set_since(&live->model, name);
	top_tell(live, "Marked %s: SINCE is what is allocated from now on and lives", name);
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
		top_tell(live, "There is no mark: m makes one");
	else if (name)
		top_tell(live, "SINCE is what was allocated since %s, and lives", name);
	else
		top_tell(live, "Growth counts as before");
	return r < 0 ? r : top_make_page(live);
}

/* What is fetched may come later than a page. */
static int show_past(struct live *live)
{
	if (!live->model.row_count)
		return 0;
	live->wants_past = true;
	dhat_snapshot_free(live->past);
	live->past = NULL;
	return top_turn_to(live, TOP_TIMELINE);
}

/* Keys that do the same wherever one is. */
static int take_anywhere(struct live *live, int key)
{
	switch (key) {
	case '?':
	case 'h':
		return top_turn_to(live, TOP_HELP);
	case 'L' & 0x1f:
		top_screen_repair();
		return 0;
	case TOP_KEY_RESIZE:
		return top_make_page(live);
	default:
		return 0;
	}
}

/* Keys that do the same on each page of the target. */
static int take_common(struct live *live, int key)
{
	switch (key) {
	case 'b':
		top_model_set_baseline(&live->model);
		top_tell(live, "Growth counts from now on");
		return top_make_page(live);
	case 'm':
		return make_mark(live);
	case 'd':
		return choose_mark(live);
	case 't':
		return show_past(live);
	case 'p':
		*live->typed = 0;
		return top_turn_to(live, TOP_PROCESSES);
	case ' ':
		freeze(live);
		return 0;
	case 'w':
		live->wants_file = true;
		top_tell(live, "The profile is being fetched");
		return 0;
	case 'r':
		live->view.wants_whole = true;
		live->next_ns = 0;
		top_tell(live, "Names are looked up anew");
		return 0;
	default:
		return take_anywhere(live, key);
	}
}

/* Keys of pages that are not of the target; T1: it is left for those that there are. */
static int take_apart(struct live *live, int key)
{
	bool is_plan = live->shown.page == TOP_PLAN;

	switch (key) {
	case 'q':
	case TOP_KEY_ESCAPE:
	case 'n':
		if (is_plan)
			return top_turn_to(live, TOP_PROCESSES);
		if (key != 'n' && live->view.snapshot)
			return top_turn_to(live, TOP_LIST);
		live->has_quit = key == 'q';
		return 0;
	case 'y':
		return is_plan ? top_processes_attach(live) : 0;
	case TOP_KEY_ENTER:
		return is_plan ? 0 : top_processes_choose(live);
	case '/':
		live->shown.prompt = is_plan ? NULL : live->typed;
		return 0;
	default:
		return take_anywhere(live, key);
	}
}

int top_take_key(struct live *live, int key)
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
	if (top_page_is_apart(live->shown.page))
		return take_apart(live, key);
	if ((key == 'q' || key == TOP_KEY_ESCAPE) && !is_list)
		return top_turn_to(live, live->view.snapshot ? TOP_LIST : TOP_PROCESSES);
	if (!is_list)
		return live->view.snapshot ? take_common(live, key) : 0;
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
		return live->model.row_count ? top_turn_to(live, TOP_STACKS) : 0;
	default:
		return take_common(live, key);
	}
}
