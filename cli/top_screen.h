#pragma once
/* top_screen: the terminal of `dhatctl top': ncurses, and what is drawn.
 *
 * One at a time, as a terminal is. Between open and close nothing else may write to the terminal.
 * All text that is given has been cleaned (proto/base/text.h).
 */
#include "proto/base/error.h"
#include "top_model.h"

enum top_page {
	TOP_LIST,
	TOP_STACKS,
	TOP_TIMELINE,
	TOP_HELP,
	TOP_PROCESSES, /* from here on apart: they have a title of their own, and need no model */
	TOP_PLAN,
	TOP_PAGES
};
static inline bool top_page_is_apart(enum top_page page)
{
	return page >= TOP_PROCESSES;
}

struct top_shown { /* beside the model; texts are borrowed */
	enum top_page page;
	char *const *lines; /* of a page that is no list */
	size_t line_count;
	size_t selected_line;	     /* SIZE_MAX: none is */
	const char *title, *heading; /* of a page that is apart; heading NULL: there is none */
	size_t first; /* the line, or row, at the top of the page; kept within what there is */
	bool is_frozen;
	const char *message; /* in place of the keys; NULL: none */
	const char *prompt;  /* what was typed so far; NULL: nothing is being typed */
};

/* DHAT_EXIT_USAGE: the terminal is of a kind that nobody knows. */
int top_screen_open(struct dhat_error *err);
/* The terminal is as it was. Nothing happens if it is not open. */
void top_screen_close(void);

/* What was typed, a character or one of these; TOP_KEY_NONE: nothing more. */
enum {
	TOP_KEY_NONE = -1,
	TOP_KEY_UP = 0x1000,
	TOP_KEY_DOWN,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_ENTER,
	TOP_KEY_ESCAPE,
	TOP_KEY_ERASE,
	TOP_KEY_RESIZE, /* the terminal has another size now */
};
int top_screen_key(void);
size_t top_screen_columns(void);
/* Beyond any list: how far Home and End go. */
#define TOP_FAR (1l << 40)
/* Rows of a page: how far a page up goes. */
size_t top_screen_page_rows(void);

/* The whole screen; model: as long as a page is apart it may have no snapshot. shown->first is
 * brought to where the selection, or anything, can be seen. */
void top_screen_draw(const struct top_model *model, struct top_shown *shown);
/* All that is there is drawn anew: something else has written to the terminal. */
void top_screen_repair(void);
