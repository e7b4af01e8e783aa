#pragma once
/* book: what was said to be lost, of each watch, to be checked by what happens to it.
 *
 * A lost block is never freed, and nothing reaches it. So one that is freed, or reached, was called
 * lost wrongly: it counts against its site from then on, and the site's blocks are called lost no
 * more as long as this watch goes on. Also keeps two from looking at one process at a time, and
 * what was answered last, for those who ask without a look. Thread-safe.
 */
#include <sys/types.h>

#include "candidates.h"

#define BOOK_MAX_WATCHES 256 /* beyond it the one that was not asked for longest is forgotten */

/* Blocks of a watch that are looked after: of more that are lost as many, evenly of all sites. */
#define BOOK_MAX_SAID 262144
#define BOOK_MAX_SAID_BYTES                                                                        \
	(64ull << 20) /* of all watches: beyond it the oldest's are not any more */
#define BOOK_MAX_KEPT_BYTES (64ull << 20) /* of answers: beyond it the oldest goes */

struct holds_book;
struct holds;
struct book_watch;

int holds_book_new(struct holds_book **ret);
void holds_book_free(struct holds_book *book);

/* The pages of one watch, by when it began; to be given back. -EBUSY: somebody has them. */
int holds_book_open(struct holds_book *book, pid_t pid, uint64_t since_unix_ns,
		    struct book_watch **ret);
/* answer: is kept instead of the one before; NULL: there was none. */
void holds_book_close(struct holds_book *book, struct book_watch *watch, struct holds *answer);
/* What was answered last, a reference; NULL: nothing was, or it is kept no more. */
struct holds *holds_book_last(struct holds_book *book, pid_t pid, uint64_t since_unix_ns);

/* What was said before, against what a scan shows. */
int book_check(struct book_watch *watch, const struct reach_graph *graph,
	       const struct reach_mark *mark);
/* How many blocks of a site were called lost wrongly. */
uint64_t book_withdrawn(const struct book_watch *watch, uint32_t point);
uint64_t book_all_withdrawn(const struct book_watch *watch);
/* A table's candidates are said to be lost now, instead of what was said before. -ENOMEM, -ENOSPC,
 * and what was said before stays. */
int book_say(struct book_watch *watch, const struct reach_graph *graph);
