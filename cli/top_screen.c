#include "top_screen.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/profile/verdict.h"
#include "top_text.h"

enum { COLOR_BAD = 1, COLOR_PARTIAL };

/* A terminal may say whatever it likes of its size. Curses keeps 84 bytes of each place, and ends
 * with a fault where it has no room for them (ncurses 6.4, 65,535 lines of 65,535 columns). */
#define MOST_LINES 600
#define MOST_COLUMNS 2000

static SCREEN *terminal;
static volatile sig_atomic_t has_new_size;

static void note_size(int number)
{
	has_new_size = 1;
}

/* Curses is not let ask for it by itself. What the terminal does not tell stays as its kind has it.
 */
static void fit_size(void)
{
	struct winsize size = { 0 };

	has_new_size = 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
		return;
	resizeterm(size.ws_row < MOST_LINES ? size.ws_row : MOST_LINES,
		   size.ws_col < MOST_COLUMNS ? size.ws_col : MOST_COLUMNS);
}

/* What dhatctl prints is UTF-8, whatever the locale; curses wants to be told. */
static void set_characters(void)
{
	setlocale(LC_CTYPE, "");
	if (strcmp(nl_langinfo(CODESET), "UTF-8"))
		setlocale(LC_CTYPE, "C.UTF-8");
}

static void set_colors(void)
{
	const char *no_color = getenv("NO_COLOR");

	if ((no_color && *no_color) || !has_colors() || start_color() == ERR)
		return;
	use_default_colors();
	init_pair(COLOR_BAD, COLOR_RED, -1);
	init_pair(COLOR_PARTIAL, COLOR_YELLOW, -1);
}

int top_screen_open(struct dhat_error *err)
{
	const struct sigaction action = { .sa_handler = note_size }; /* in place of curses's own */
	const char *kind = getenv("TERM");

	set_characters();
	sigaction(SIGWINCH, &action, NULL);
	use_env(false);
	terminal = kind && strcmp(kind, "dumb") ? newterm(NULL, stdout, stdin) : NULL;
	if (!terminal)
		return dhat_error_set(err, ENOTTY, DHAT_EXIT_USAGE,
				      "no screen can be drawn on a terminal of the kind TERM=%s: "
				      "--batch prints without one",
				      kind ?: "");
	set_term(terminal);
	fit_size();
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, true);
	nodelay(stdscr, true);
	set_escdelay(25);
	curs_set(0);
	set_colors();
	return 0;
}

void top_screen_close(void)
{
	if (!terminal)
		return;
	endwin();
	delscreen(terminal);
	terminal = NULL;
}

int top_screen_key(void)
{
	static const struct {
		int key, meaning;
	} keys[] = {
		{ ERR, TOP_KEY_NONE },
		{ KEY_UP, TOP_KEY_UP },
		{ KEY_DOWN, TOP_KEY_DOWN },
		{ KEY_PPAGE, TOP_KEY_PAGE_UP },
		{ KEY_NPAGE, TOP_KEY_PAGE_DOWN },
		{ KEY_HOME, TOP_KEY_HOME },
		{ KEY_END, TOP_KEY_END },
		{ KEY_ENTER, TOP_KEY_ENTER },
		{ '\r', TOP_KEY_ENTER },
		{ '\n', TOP_KEY_ENTER },
		{ '\033', TOP_KEY_ESCAPE },
		{ KEY_BACKSPACE, TOP_KEY_ERASE },
		{ '\b', TOP_KEY_ERASE },
		{ 0x7f, TOP_KEY_ERASE },
		{ KEY_RESIZE, TOP_KEY_RESIZE },
	};
	int key;

	if (has_new_size)
		fit_size(); /* getch() tells, if it is another one */
	key = getch();
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].key == key)
			return keys[i].meaning;
	return key > 0xff ? 0 : key;
}

size_t top_screen_columns(void)
{
	return COLS;
}

void top_screen_repair(void)
{
	clearok(stdscr, true);
}

/* ---- drawing ------------------------------------------------------------------------------- */

/* As much of the text as fits behind column x, and no more: what is behind the last column would
 * begin the next line. Returns the columns it took. */
static int put(int y, int x, const char *text)
{
	int room = COLS - x, used = 0;
	size_t count = 0, length = text ? mbstowcs(NULL, text, 0) : 0;
	_cleanup_free_ wchar_t *wide = NULL;

	if (!text || length == (size_t)-1 || y < 0 || y >= LINES || room <= 0)
		return 0;
	wide = calloc(length + 1, sizeof(*wide));
	if (!wide)
		return 0;
	mbstowcs(wide, text, length + 1);
	while (count < length) {
		int width = wcwidth(wide[count]);

		if (width < 0) {
			wide[count] = L'?';
			width = 1;
		}
		if (used + width > room)
			break;
		used += width;
		count++;
	}
	mvaddnwstr(y, x, wide, (int)count);
	return used;
}

/* Takes the text over. */
static int put_own(int y, int x, char *text)
{
	int used = put(y, x, text);

	free(text);
	return used;
}

/* A whole line in reverse, whatever the text takes of it. */
static void put_bar(int y, const char *text)
{
	attron(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	put(y, 0, text);
	attroff(A_REVERSE);
}

static void put_verdict(const Dhat__Verdict *message)
{
	enum dhat_verdict verdict = dhat_verdict_of(message);
	const char *word = dhat_verdict_word(verdict);
	attr_t look = A_BOLD;

	if (verdict == DHAT_INEXACT)
		look |= COLOR_PAIR(COLOR_BAD);
	if (verdict == DHAT_PARTIAL)
		look |= COLOR_PAIR(COLOR_PARTIAL);
	attron(look);
	put(0, COLS - (int)strlen(word) > 0 ? COLS - (int)strlen(word) : 0, word);
	attroff(look);
}

static void put_state(int y, int used, const struct top_shown *shown)
{
	static const char frozen[] = " FROZEN ";

	if (!shown->is_frozen)
		return;
	attron(A_REVERSE);
	put(y, used + 1 + (int)strlen(frozen) > COLS ? COLS - (int)strlen(frozen) : used + 1,
	    frozen);
	attroff(A_REVERSE);
}

#define HEAD_LINES 4  /* title, totals, history, rows */
#define TALL_LINES 16 /* from here on there is room for the reason */

/* The lines above the page; returns how many. */
static int draw_head(const struct top_model *model, const struct top_shown *shown)
{
	const Dhat__Verdict *verdict = model->snapshot->end->verdict;
	int lines = HEAD_LINES;

	attron(A_BOLD);
	put_own(0, 0, top_text_title(model));
	attroff(A_BOLD);
	mvhline(0, COLS - 9 > 0 ? COLS - 9 : 0, ' ', 9);
	put_verdict(verdict);
	put_own(1, 0, top_text_totals(model, COLS));
	put_own(2, 0, top_text_history(&model->history, COLS));
	put_state(3, put_own(3, 0, top_text_rows(model)), shown);
	if (verdict->n_reasons && LINES >= TALL_LINES) {
		_cleanup_free_ char *reason = dhat_text_clean(verdict->reasons[0]);

		attron(A_DIM);
		put(lines++, 0, reason);
		attroff(A_DIM);
	}
	return lines;
}

static int page_lines(const struct top_model *model)
{
	bool has_reason = model->snapshot->end->verdict->n_reasons && LINES >= TALL_LINES;
	int lines = LINES - HEAD_LINES - has_reason - 2;

	return lines > 0 ? lines : 1;
}

static size_t last_page_rows = 1;

size_t top_screen_page_rows(void)
{
	return last_page_rows;
}

/* So that `selected` is one of `rows` lines from *first on, and no line stays empty in vain. */
static void scroll_to(size_t *first, size_t selected, size_t rows, size_t count)
{
	if (*first + rows > count)
		*first = count > rows ? count - rows : 0;
	if (selected < *first)
		*first = selected;
	if (selected >= *first + rows)
		*first = selected - rows + 1;
}

static void draw_list(const struct top_model *model, struct top_shown *shown, int y)
{
	_cleanup_free_ char *heading = top_text_heading(model, COLS);
	size_t rows = page_lines(model);

	last_page_rows = rows;
	put_bar(y++, heading);
	scroll_to(&shown->first, model->selected, rows, model->row_count);
	for (size_t i = shown->first; i < model->row_count && i < shown->first + rows; i++) {
		_cleanup_free_ char *row = top_text_row(model, &model->rows[i], COLS);

		if (i == model->selected)
			put_bar(y++, row);
		else
			put(y++, 0, row);
	}
	if (!model->row_count)
		put(y, 2,
		    model->pattern ? "No stack matches the filter: / changes it"
				   : "Nothing was allocated yet since the watch began");
}

static void draw_lines(struct top_shown *shown, int y)
{
	size_t rows = LINES - 1 > y ? LINES - 1 - y : 1;

	last_page_rows = rows;
	if (shown->selected_line < shown->line_count)
		scroll_to(&shown->first, shown->selected_line, rows, shown->line_count);
	else if (shown->first + rows > shown->line_count)
		shown->first = shown->line_count > rows ? shown->line_count - rows : 0;
	for (size_t i = shown->first; i < shown->line_count && i < shown->first + rows; i++) {
		if (i == shown->selected_line)
			put_bar(y++, shown->lines[i]);
		else
			put(y++, 0, shown->lines[i]);
	}
}

static void draw_apart(struct top_shown *shown)
{
	int y = 0;

	attron(A_BOLD);
	put(y++, 0, shown->title);
	attroff(A_BOLD);
	if (shown->heading)
		put_bar(++y, shown->heading);
	draw_lines(shown, y + 1);
}

static void draw_foot(const struct top_shown *shown)
{
	static const char *const keys[] = {
		[TOP_LIST] = "q quit  ? help  s sort  g group  / filter  Enter open  t time  "
			     "p processes",
		[TOP_STACKS] = "q back  ? help  arrows scroll  t over time  b baseline  space "
			       "freeze  w write",
		[TOP_TIMELINE] = "q back  ? help  t look again  w write",
		[TOP_PROCESSES] =
			"q back, or quit  ? help  / filter  arrows select  Enter watch it",
		[TOP_PLAN] = "Attach to it?  y yes  n no  arrows scroll",
		[TOP_HELP] = "q back  arrows scroll",
	};

	const char *asked = shown->page == TOP_PROCESSES ? "Filter (program): "
							 : "Filter (function, file, object): ";

	if (shown->prompt) {
		put_bar(LINES - 1, asked);
		attron(A_REVERSE);
		put(LINES - 1, (int)strlen(asked), shown->prompt);
		attroff(A_REVERSE);
		return;
	}
	put_bar(LINES - 1, shown->message ?: keys[shown->page]);
}

void top_screen_draw(const struct top_model *model, struct top_shown *shown)
{
	int y;

	erase();
	if (top_page_is_apart(shown->page) || !model->snapshot) {
		draw_apart(shown);
	} else {
		y = draw_head(model, shown);
		if (shown->page == TOP_LIST)
			draw_list(model, shown, y);
		else
			draw_lines(shown, y);
	}
	draw_foot(shown);
	refresh();
}
