/* Copies of its own code that a target has made while it was watched.
 *
 * Programs that move their code into huge pages, and libraries that hook functions, copy it as they
 * find it: with our breakpoints. No uprobe can stand behind those, since the memory is of no file,
 * and the process dies by SIGTRAP at the next call of the copy, long after a detach, too. So they
 * are looked for in executable memory when mappings change and after a detach, and mended: the one
 * thing that is ever written into a target. Why that is safe:
 * - It is one byte, the file's own, where now is a breakpoint that can only be fatal. What is
 *   executing there meanwhile sees one or the other; who has just trapped is sent back by the
 *   kernel, which looks again before it sends the signal (handle_swbp()).
 * - 31 bytes around it are the file's, or breakpoints, immediately before the write, and it is
 *   a place that we have probed: nothing but a copy of that function looks so.
 * - It is private memory of the process, of no file, that it executes. Shared memory and files are
 *   others' too: that is told only. So it is while a debugger is there, whose breakpoint it may be.
 */
#include "copies.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/machine.h"
#include "daemon/proc/code.h"
#include "daemon/proc/procmaps.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/units.h"
#include "ptracer.h"

#define WINDOW_PAGES 64
#define MAX_FOUND 4096

DEFINE_CLEANUP_PTR(struct code *, code_close)

struct search {
	struct copies *copies;
	struct places *places;
	const struct places_owner *owner;
	struct code *code;
	struct code_pattern *patterns; /* of the places, by their index */
	size_t pattern_count, pages_left;
	bool can_mend; /* what is in the range now */
	uint64_t unsearched_bytes;
	uint64_t first_addr;
	size_t mended, unmended, named;
	char names[160];
	uint8_t window[WINDOW_PAGES * DHAT_PAGE_BYTES + CODE_BYTES];
};

static void search_free(struct search *search)
{
	code_close(search->code);
	free(search->patterns);
	free(search);
}

DEFINE_CLEANUP_PTR(struct search *, search_free)

static void add_name(struct search *search, size_t place)
{
	size_t used = strlen(search->names), left = sizeof(search->names) - used;
	char name[sizeof(search->names)];
	int length;

	places_name(search->places, place, name, sizeof(name));
	if (strstr(search->names, name) || search->named++ >= 4)
		return;
	length = snprintf(search->names + used, left, "%s%s", used ? ", " : "", name);
	if (length < 0 || (size_t)length >= left) /* no half of a name */
		search->names[used] = '\0';
}

static void take_found(struct search *search, uint64_t addr, size_t place)
{
	int error = -EPERM;

	if (search->mended + search->unmended >= MAX_FOUND)
		return;
	if (search->can_mend)
		error = code_mend(search->owner->pid, addr, &search->patterns[place]);
	if (error == -ENOENT)
		return; /* gone already */
	if (search->mended + search->unmended == 0)
		search->first_addr = addr;
	search->mended += error == 0;
	search->unmended += error != 0;
	add_name(search, place);
}

static void search_window(struct search *search, uint64_t addr, size_t size)
{
	size_t place = 0;

	for (size_t at = 0;; at++) {
		at = code_find_trapped_copy(search->patterns, search->pattern_count, search->window,
					    size, at, &place);
		if (at == size)
			break;
		take_found(search, addr + at, place);
	}
}

/* Only pages that are in memory: what was never touched, or is swapped out, stays so. Returns how
 * far it came. */
static uint64_t search_range(struct search *search, uint64_t start, uint64_t end)
{
	uint64_t pages[WINDOW_PAGES + 1];

	for (uint64_t addr = start; addr < end;) {
		size_t wanted = (end - addr) / DHAT_PAGE_BYTES, got, run = 0, size;

		got = code_pages(search->code, addr, pages,
				 wanted < ARRAY_SIZE(pages) ? wanted : ARRAY_SIZE(pages));
		if (got == 0)
			return end; /* it is there no more */
		while (run < got && run < WINDOW_PAGES && code_page_is_present(pages[run]))
			run++;
		if (run == 0) {
			addr += DHAT_PAGE_BYTES;
			continue;
		}
		if (search->pages_left == 0)
			return addr;
		if (run > search->pages_left)
			run = search->pages_left;
		search->pages_left -= run;
		/* one may lie across the border of two windows */
		size = run * DHAT_PAGE_BYTES;
		if (run < got && code_page_is_present(pages[run]))
			size += CODE_BYTES;
		size = code_read(search->code, addr, search->window, size);
		search_window(search, addr, size);
		addr += run * DHAT_PAGE_BYTES;
	}
	return end;
}

/* ---- where to look --------------------------------------------------------------------------- */

static bool is_anonymous(const struct procmaps_entry *entry)
{
	return entry->inode == 0 && (entry->path[0] == '\0' || !strncmp(entry->path, "[anon", 5) ||
				     !strcmp(entry->path, "[heap]"));
}

/* Of a file that exists for this only. */
static bool is_of_memory_file(const struct procmaps_entry *entry)
{
	return entry->inode != 0 &&
	       (!strncmp(entry->path, "/memfd:", 7) ||
		!strncmp(entry->path, "/anon_hugepage", 14) ||
		!strncmp(entry->path, "/dev/shm/", 9) || strstr(entry->path, "hugepages/"));
}

/* What of a range was not searched before. */
static void cut_searched(const struct copies *copies, uint64_t *start, uint64_t *end)
{
	for (size_t i = 0; i < copies->searched_count && *start < *end; i++) {
		const struct copies_range *old = &copies->searched[i];

		if (old->start <= *start && old->end > *start)
			*start = old->end;
		else if (old->start < *end && old->end >= *end)
			*end = old->start;
	}
}

static void search_maps(struct search *search, const struct procmaps *maps, bool all)
{
	struct copies *copies = search->copies;
	struct copies_range *searched = NULL;
	size_t count = 0, capacity = 0;
	struct ptracer tracer;
	bool is_debugged = ptracer_find(search->owner->pid, &tracer) == 0 && tracer.pid &&
			   tracer.sets_breakpoints && !tracer.is_dhatd;

	for (size_t i = 0; i < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];
		uint64_t start = entry->start, end = entry->end, reached;

		if (!entry->is_executable || (!is_anonymous(entry) && !is_of_memory_file(entry)))
			continue;
		if (!all)
			cut_searched(copies, &start, &end);
		search->can_mend = is_anonymous(entry) && !entry->is_shared && !is_debugged;
		reached = start < end ? search_range(search, start, end) : end;
		search->unsearched_bytes += end - reached;
		if (reached == end)
			reached = entry->end;
		if (reached > entry->start && array_make_room(&searched, &capacity, count) == 0)
			searched[count++] = (struct copies_range){ entry->start, reached };
	}
	free(copies->searched);
	copies->searched = searched;
	copies->searched_count = count;
}

/* ---- telling --------------------------------------------------------------------------------- */

static void say_found(const struct search *search)
{
	size_t found = search->mended + search->unmended;
	char text[640], rest[200] = "";

	if (found == 0)
		return;
	if (search->unmended)
		snprintf(rest, sizeof(rest),
			 "; %zu could not be taken out, and the process dies by SIGTRAP when it "
			 "calls that",
			 search->unmended);
	snprintf(text, sizeof(text),
		 "the process has copied its own code while it was watched: %zu breakpoint%s of "
		 "ours "
		 "(%s) in the copy from 0x%llx on, of which it would have died by SIGTRAP; %zu "
		 "taken "
		 "out%s. What the copy allocates is not counted",
		 found, found == 1 ? "" : "s", search->names,
		 (unsigned long long)search->first_addr, search->mended, rest);
	atomic_fetch_add(&search->copies->found, found);
	search->owner->tell(search->owner->context, text);
}

/* Once: it may be so at each search. */
static void say_unsearched(const struct search *search)
{
	char size[DHAT_UNIT_CHARS], text[320];

	if (!search->unsearched_bytes || search->copies->is_limit_told)
		return;
	search->copies->is_limit_told = true;
	snprintf(text, sizeof(text),
		 "the process has more executable memory of no file than is searched at once for "
		 "copies of its own code: %s were left out. Should it have copied functions that "
		 "dhatd probes to there, it dies by SIGTRAP when it calls them",
		 dhat_format_size(search->unsearched_bytes, size));
	search->owner->tell(search->owner->context, text);
}

void copies_search(struct copies *copies, struct places *places, const struct places_owner *owner,
		   bool all)
{
	_cleanup_(search_free_ptr) struct search *search = calloc(1, sizeof(*search));
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };

	if (!search)
		return;
	search->copies = copies;
	search->places = places;
	search->owner = owner;
	search->pages_left = copies->max_pages ?: COPIES_MAX_PAGES;
	if (places_patterns(places, &search->patterns, &search->pattern_count) ||
	    search->pattern_count == 0 || procmaps_read(owner->pid, &maps) ||
	    code_open(owner->pid, &search->code))
		return;
	search_maps(search, &maps, all);
	say_found(search);
	say_unsearched(search);
}

void copies_deinit(struct copies *copies)
{
	free(copies->searched);
	*copies = (struct copies){ 0 };
}
