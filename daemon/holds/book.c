#include "book.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "holds.h"
#include "proto/base/index.h"

struct book_watch {
	struct book_watch *next;
	pid_t pid;
	uint64_t since_unix_ns, last_use;
	bool is_open;
	struct candidate_list said;
	size_t said_room;	 /* of so many */
	uint64_t said_bytes;	 /* of them, when it was closed last */
	struct index *withdrawn; /* key: point; value: blocks */
	uint64_t all_withdrawn;
	struct holds *answer; /* NULL: none is kept */
	int error;
};

struct holds_book {
	pthread_mutex_t lock;
	struct book_watch *watches;
	size_t count;
	uint64_t uses, kept_bytes, said_bytes;
};

/* With the lock. */
static void forget_answer(struct holds_book *book, struct book_watch *watch)
{
	if (!watch->answer)
		return;
	book->kept_bytes -= holds_bytes(watch->answer);
	holds_unref(watch->answer);
	watch->answer = NULL;
}

/* With the lock. */
static void forget_said(struct holds_book *book, struct book_watch *watch)
{
	book->said_bytes -= watch->said_bytes;
	watch->said_bytes = 0;
	watch->said_room = 0;
	candidate_list_deinit(&watch->said);
}

static void watch_free(struct holds_book *book, struct book_watch *watch)
{
	forget_answer(book, watch);
	forget_said(book, watch);
	if (watch->withdrawn)
		index_free(watch->withdrawn);
	free(watch);
}

int holds_book_new(struct holds_book **ret)
{
	struct holds_book *book = calloc(1, sizeof(*book));

	if (!book)
		return -ENOMEM;
	pthread_mutex_init(&book->lock, NULL);
	*ret = book;
	return 0;
}

void holds_book_free(struct holds_book *book)
{
	if (!book)
		return;
	while (book->watches) {
		struct book_watch *watch = book->watches;

		book->watches = watch->next;
		watch_free(book, watch);
	}
	pthread_mutex_destroy(&book->lock);
	free(book);
}

static struct book_watch *find(struct holds_book *book, pid_t pid, uint64_t since_unix_ns)
{
	for (struct book_watch *watch = book->watches; watch; watch = watch->next)
		if (watch->pid == pid && watch->since_unix_ns == since_unix_ns)
			return watch;
	return NULL;
}

static void forget_oldest(struct holds_book *book)
{
	struct book_watch **oldest = NULL, *watch;

	for (struct book_watch **at = &book->watches; *at; at = &(*at)->next)
		if (!(*at)->is_open && (!oldest || (*at)->last_use < (*oldest)->last_use))
			oldest = at;
	if (!oldest)
		return;
	watch = *oldest;
	*oldest = watch->next;
	book->count--;
	watch_free(book, watch);
}

static struct book_watch *add(struct holds_book *book, pid_t pid, uint64_t since_unix_ns)
{
	struct book_watch *watch = calloc(1, sizeof(*watch));

	if (!watch || index_new(&watch->withdrawn)) {
		free(watch);
		return NULL;
	}
	watch->pid = pid;
	watch->since_unix_ns = since_unix_ns;
	watch->next = book->watches;
	book->watches = watch;
	if (++book->count > BOOK_MAX_WATCHES) {
		watch->is_open = true; /* not this one */
		forget_oldest(book);
		watch->is_open = false;
	}
	return watch;
}

int holds_book_open(struct holds_book *book, pid_t pid, uint64_t since_unix_ns,
		    struct book_watch **ret)
{
	struct book_watch *watch;
	int r = 0;

	pthread_mutex_lock(&book->lock);
	watch = find(book, pid, since_unix_ns);
	if (!watch)
		watch = add(book, pid, since_unix_ns);
	if (!watch) {
		r = -ENOMEM;
	} else if (watch->is_open) {
		r = -EBUSY;
	} else {
		watch->is_open = true;
		watch->last_use = ++book->uses;
		*ret = watch;
	}
	pthread_mutex_unlock(&book->lock);
	return r;
}

static struct book_watch *oldest_answered(struct holds_book *book)
{
	struct book_watch *oldest = NULL;

	for (struct book_watch *watch = book->watches; watch; watch = watch->next)
		if (watch->answer && (!oldest || watch->last_use < oldest->last_use))
			oldest = watch;
	return oldest;
}

/* Of those that nobody has. */
static struct book_watch *oldest_saying(struct holds_book *book)
{
	struct book_watch *oldest = NULL;

	for (struct book_watch *watch = book->watches; watch; watch = watch->next)
		if (watch->said_bytes && !watch->is_open &&
		    (!oldest || watch->last_use < oldest->last_use))
			oldest = watch;
	return oldest;
}

/* With the lock. */
static void count_said(struct holds_book *book, struct book_watch *watch)
{
	struct book_watch *oldest;

	book->said_bytes -= watch->said_bytes;
	watch->said_bytes = watch->said_room * sizeof(*watch->said.list);
	book->said_bytes += watch->said_bytes;
	while (book->said_bytes > BOOK_MAX_SAID_BYTES && (oldest = oldest_saying(book)))
		forget_said(book, oldest);
}

void holds_book_close(struct holds_book *book, struct book_watch *watch, struct holds *answer)
{
	pthread_mutex_lock(&book->lock);
	watch->is_open = false;
	count_said(book, watch);
	if (answer) {
		forget_answer(book, watch);
		watch->answer = holds_ref(answer);
		book->kept_bytes += holds_bytes(answer);
	}
	while (book->kept_bytes > BOOK_MAX_KEPT_BYTES)
		forget_answer(book, oldest_answered(book));
	pthread_mutex_unlock(&book->lock);
}

struct holds *holds_book_last(struct holds_book *book, pid_t pid, uint64_t since_unix_ns)
{
	struct book_watch *watch;
	struct holds *answer = NULL;

	pthread_mutex_lock(&book->lock);
	watch = find(book, pid, since_unix_ns);
	if (watch && watch->answer)
		answer = holds_ref(watch->answer);
	pthread_mutex_unlock(&book->lock);
	return answer;
}

static void withdraw(void *watch_, const struct candidate *candidate)
{
	struct book_watch *watch = watch_;
	struct index_entry *entry;

	watch->all_withdrawn++;
	if (index_claim(watch->withdrawn, 0, candidate->point, &entry) < 0)
		watch->error = -ENOMEM;
	else
		entry->value++;
}

int book_check(struct book_watch *watch, const struct reach_graph *graph,
	       const struct reach_mark *mark)
{
	watch->error = 0;
	candidate_list_check(&watch->said, graph, mark, withdraw, watch);
	return watch->error;
}

uint64_t book_withdrawn(const struct book_watch *watch, uint32_t point)
{
	const struct index_entry *entry = index_find(watch->withdrawn, 0, point);

	return entry ? entry->value : 0;
}

uint64_t book_all_withdrawn(const struct book_watch *watch)
{
	return watch->all_withdrawn;
}

int book_say(struct book_watch *watch, const struct reach_graph *graph)
{
	struct candidate_list said = { 0 };
	int r = candidate_list_sample(graph, BOOK_MAX_SAID, &said);

	if (r)
		return r;
	candidate_list_deinit(&watch->said);
	watch->said = said;
	watch->said_room = said.count;
	return 0;
}
