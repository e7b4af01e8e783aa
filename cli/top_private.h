#pragma once
/* top_private: what the files of `dhatctl top' on a terminal share: top_live.c (answers, and the
 * loop), top_keys.c, top_pages.c and top_processes.c. For no other file.
 *
 * T1: there may be no profile yet (view.snapshot is NULL): then the page is one of those that are
 * apart (top_screen.h), and nothing but top_processes.c has anything to show.
 * Each function that may fail says -ENOMEM, and the loop ends with it.
 */
#include <stdio.h>

#include "client.h"
#include "top_live.h"
#include "top_model.h"
#include "top_screen.h"

#define SECOND_NS 1000000000ull

struct live {
	const struct top_live_options *options;
	uint32_t pid; /* 0: none is chosen yet */
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
	enum top_errand { TOP_LOOK, TOP_WRITE, TOP_REMEMBER } errand; /* what it is for */
	uint64_t asked_ns, next_ns;
	struct dhat_error lost;	     /* why there is none; code DHAT_EXIT_OK: there is */
	bool wants_file, wants_past; /* as soon as nothing else is under way */
	struct dhat_snapshot *past;  /* the whole profile, with histories: TOP_TIMELINE's */
	/* of processes, a plan, an attach: beside the one above */
	struct client *other; /* NULL: nothing was asked */
	Dhat__Response *processes, *plan;
	uint32_t chosen_pid; /* the selected process, and what the plan is of; 0: the first */
	char wanted[128];    /* what programs' names have; "": anything */
	bool is_attaching;   /* and there is nothing to show yet */
	bool has_quit;
	bool is_dirty;
};

__attribute__((format(printf, 2, 3))) void top_tell(struct live *live, const char *format, ...);
void top_end_asking(struct live *live);

/* ---- pages ---- */

/* Anew, after an answer, and where the terminal has another size. */
int top_make_page(struct live *live);
int top_turn_to(struct live *live, enum top_page page);

/* ---- keys ---- */

int top_take_key(struct live *live, int key);

/* ---- processes ---- */

/* Ask for what the page shows, if it is time. */
int top_processes_ask(struct live *live);
/* The other connection can be read. */
int top_processes_receive(struct live *live);
void top_processes_move(struct live *live, long by);
/* What was typed. */
int top_processes_filter(struct live *live);
/* Enter in the list: a plan, and a question; or what is watched already. And the answer to it. */
int top_processes_choose(struct live *live);
int top_processes_attach(struct live *live);
/* The texts of the pages, into live->shown and the file. */
void top_processes_page(struct live *live, FILE *file);
void top_plan_page(struct live *live, FILE *file);
void top_processes_deinit(struct live *live);
