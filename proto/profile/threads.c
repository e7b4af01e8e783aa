#include "threads.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/qualifiers.h"

#define MOST_NAMES 63 /* a bit each behind the first */

static bool has_thread(const Dhat__SnapshotHead *head, uint64_t threads, size_t i)
{
	return i < head->n_threads && i < MOST_NAMES && threads >> (i + 1) & 1;
}

/* Do two names differ in nothing but runs of digits? A '*' is one, too: of the daemon. */
static bool is_alike(const char *a, const char *b)
{
	for (;;) {
		bool is_run = isdigit((unsigned char)*a) || *a == '*';

		if (is_run != (isdigit((unsigned char)*b) || *b == '*'))
			return false;
		if (is_run) {
			while (isdigit((unsigned char)*a) || *a == '*')
				a++;
			while (isdigit((unsigned char)*b) || *b == '*')
				b++;
		} else if (*a != *b) {
			return false;
		} else if (!*a) {
			return true;
		} else {
			a++;
			b++;
		}
	}
}

static bool is_later_than_one_alike(const Dhat__SnapshotHead *head, uint64_t threads, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (has_thread(head, threads, i) && is_alike(head->threads[i], head->threads[at]))
			return true;
	return false;
}

/* In the whole profile: else one of a pool that is alone at some point would be a row beside it. */
static bool is_of_pool(const Dhat__SnapshotHead *head, size_t at)
{
	for (size_t i = 0; i < head->n_threads; i++)
		if (i != at && is_alike(head->threads[i], head->threads[at]))
			return true;
	return false;
}

static void put_name(FILE *file, const char *name, bool as_pattern)
{
	for (; *name; name++) {
		bool is_digit = as_pattern && isdigit((unsigned char)*name);

		if (!is_digit)
			fputc(*name, file);
		else if (!isdigit((unsigned char)name[1]))
			fputc('*', file);
	}
}

static void put_names(FILE *file, const Dhat__SnapshotHead *head, uint64_t threads)
{
	bool has_others = threads & 1;
	size_t count = 0;

	for (size_t i = 0; i < head->n_threads; i++) {
		if (!has_thread(head, threads, i) || is_later_than_one_alike(head, threads, i))
			continue;
		if (count == DHAT_THREADS_SHOWN) {
			has_others = true;
			break;
		}
		fputs(count++ ? ", " : "", file);
		put_name(file, head->threads[i], is_of_pool(head, i));
	}
	if (has_others || !count)
		fputs(count ? ", and others" : DHAT_THREADS_UNKNOWN, file);
}

char *dhat_threads_text(const Dhat__SnapshotHead *head, uint64_t threads)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	put_names(file, head, threads);
	if (fclose(file)) {
		free(text);
		return NULL;
	}
	return text;
}

const char *dhat_allocator_name(const Dhat__SnapshotHead *head, uint32_t allocator)
{
	return allocator && allocator <= head->n_allocators ? head->allocators[allocator - 1]
							    : NULL;
}

/* ---- several profiles ---------------------------------------------------------------------- */

static int append_text(char ***list, size_t *count, const char *text)
{
	char **grown = reallocarray(*list, *count + 1, sizeof(*grown)), *copy = strdup(text);

	if (grown)
		*list = grown;
	if (!grown || !copy) {
		free(copy);
		return -ENOMEM;
	}
	grown[(*count)++] = copy;
	return 0;
}

/* The bit of a name in another profile; 0: there is no room for it. */
static int number_of(Dhat__SnapshotHead *into, const char *name, unsigned *ret)
{
	for (size_t i = 0; i < into->n_threads && i < MOST_NAMES; i++) {
		if (!strcmp(into->threads[i], name)) {
			*ret = i + 1;
			return 0;
		}
	}
	*ret = into->n_threads < MOST_NAMES ? into->n_threads + 1 : 0;
	return *ret ? append_text(&into->threads, &into->n_threads, name) : 0;
}

static uint64_t renumber(uint64_t threads, const unsigned *numbers, size_t count)
{
	uint64_t renumbered = threads & 1;

	for (size_t i = 0; i < MOST_NAMES; i++)
		if (threads >> (i + 1) & 1)
			renumbered |= 1ull << (i < count ? numbers[i] : 0);
	return renumbered;
}

int dhat_threads_merge(struct dhat_snapshot *into_, struct dhat_snapshot *from)
{
	Dhat__SnapshotHead *into = without_qualifiers(into_->head);
	size_t before = into->n_allocators;
	unsigned numbers[MOST_NAMES];
	int r = 0;

	for (size_t i = 0; r == 0 && i < from->head->n_threads && i < MOST_NAMES; i++)
		r = number_of(into, from->head->threads[i], &numbers[i]);
	for (size_t i = 0; r == 0 && i < from->head->n_allocators; i++)
		r = append_text(&into->allocators, &into->n_allocators, from->head->allocators[i]);
	for (size_t i = 0; r == 0 && i < from->point_count; i++) {
		Dhat__ProgramPoint *point = from->points[i];

		point->threads = renumber(point->threads, numbers,
					  from->head->n_threads < MOST_NAMES ? from->head->n_threads
									     : MOST_NAMES);
		if (point->allocator)
			point->allocator += before;
	}
	return r;
}
