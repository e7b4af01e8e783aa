#include "breakpoints.h"

#include "bpf/machine.h"
#include "code.h"
#include "daemon/object/machine/trap.h"
#include "mapfile.h"
#include "procmaps.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Bytes on both sides that must be the file's: as many as an address of a text relocation has, less
 * the one that differs. */
#define CALM_BYTES 7

/* ---- a page ---------------------------------------------------------------------------------- */

struct page {
	const uint8_t *memory, *file;
	size_t size;
	uint64_t addr;
	bool (*is_trampoline)(const void *context, uint64_t addr);
	const void *context;
};

/* Bytes that an uprobe's call stands over at `at`; 0: there is none. */
static size_t call_bytes(const struct page *page, size_t at)
{
	uint64_t target;
	size_t bytes = trap_call(page->memory + at, page->file + at, page->size - at,
				 page->addr + at, &target);

	return bytes && page->is_trampoline(page->context, target) ? bytes : 0;
}

static bool is_trap(const struct page *page, size_t at)
{
	return page->memory[at] == trap_byte && page->file[at] != trap_byte;
}

static bool is_calm(const struct page *page, size_t first, size_t last)
{
	for (size_t i = first; i < last; i++)
		if (page->memory[i] != page->file[i] && !is_trap(page, i))
			return false;
	return true;
}

size_t breakpoints_compare(const uint8_t *memory, const uint8_t *file, size_t size, uint64_t addr,
			   bool (*is_trampoline)(const void *context, uint64_t addr),
			   const void *context, struct breakpoint_at *ret, size_t max)
{
	const struct page page = { memory, file, size, addr, is_trampoline, context };
	size_t count = 0, calm_from = 0;

	if (!memcmp(memory, file, size))
		return 0;
	for (size_t i = 0; i < size && count < max; i++) {
		size_t call, end = i + 1 + CALM_BYTES < size ? i + 1 + CALM_BYTES : size;
		size_t first = i > calm_from + CALM_BYTES ? i - CALM_BYTES : calm_from;

		if (memory[i] == file[i])
			continue;
		call = call_bytes(&page, i);
		if (call) {
			ret[count++] = (struct breakpoint_at){ i, BREAKPOINT_CALL };
			i += call - 1;
			calm_from = i + 1; /* what stands before it is judged by itself */
		} else if (is_trap(&page, i) && is_calm(&page, first, i) &&
			   is_calm(&page, i + 1, end)) {
			ret[count++] = (struct breakpoint_at){ i, BREAKPOINT_TRAP };
		}
	}
	return count;
}

/* ---- a process ------------------------------------------------------------------------------- */

struct search {
	pid_t pid;
	struct code *code;
	struct procmaps maps;
	struct breakpoints found;
	size_t capacity;
};

static void search_deinit(struct search *search)
{
	code_close(search->code);
	procmaps_deinit(&search->maps);
	breakpoints_deinit(&search->found);
}

static bool is_in_trampoline(const void *context, uint64_t addr)
{
	const struct search *search = context;

	for (size_t i = 0; i < search->maps.count; i++) {
		const struct procmaps_entry *entry = &search->maps.entries[i];

		if (addr >= entry->start && addr < entry->end)
			return strcmp(entry->path, "[uprobes-trampoline]") == 0;
	}
	return false;
}

static int add(struct search *search, const struct procmaps_entry *entry, uint64_t addr,
	       enum breakpoint_kind kind, uint8_t original)
{
	struct breakpoints *found = &search->found;
	struct breakpoint *list = found->list;
	char *path = strdup(entry->path);

	if (found->count == search->capacity) {
		size_t capacity = search->capacity ? 2 * search->capacity : 16;

		list = reallocarray(found->list, capacity, sizeof(*list));
		if (list) {
			found->list = list;
			search->capacity = capacity;
		}
	}
	if (!list || !path) {
		free(path);
		return -ENOMEM;
	}
	list[found->count++] = (struct breakpoint){
		.addr = addr,
		.file_offset = addr - entry->start + entry->file_offset,
		.inode = entry->inode,
		.map_start = entry->start,
		.map_end = entry->end,
		.dev_major = entry->dev_major,
		.dev_minor = entry->dev_minor,
		.kind = kind,
		.original = original,
		.path = path,
	};
	return 0;
}

/* 1: the page could not be read, which a process may cause at any time. */
static int compare_page(struct search *search, const struct procmaps_entry *entry, int fd,
			uint64_t addr)
{
	uint8_t memory[DHAT_PAGE_BYTES], file[DHAT_PAGE_BYTES] = { 0 }; /* behind its end: zeros */
	struct breakpoint_at at[64];
	uint64_t offset = addr - entry->start + entry->file_offset;
	size_t count;
	int error = 0;

	if (code_read(search->code, addr, memory, sizeof(memory)) != sizeof(memory) ||
	    pread(fd, file, sizeof(file), offset) < 0)
		return 1;
	search->found.page_count++;
	count = breakpoints_compare(memory, file, sizeof(memory), addr, is_in_trampoline, search,
				    at, ARRAY_SIZE(at));
	for (size_t i = 0; i < count && error == 0; i++) {
		if (search->found.count >= BREAKPOINTS_MAX)
			search->found.is_cut = true;
		else
			error = add(search, entry, addr + at[i].offset, at[i].kind,
				    file[at[i].offset]);
	}
	if (count == ARRAY_SIZE(at))
		search->found.is_cut = true;
	return error;
}

static int search_mapping(struct search *search, const struct procmaps_entry *entry)
{
	_cleanup_close_ int fd = -1;
	uint64_t pages[512];
	bool is_unread = false;
	int error = 0;

	for (uint64_t addr = entry->start; addr < entry->end && error == 0;) {
		size_t wanted = (entry->end - addr) / DHAT_PAGE_BYTES, got;

		if (wanted > ARRAY_SIZE(pages))
			wanted = ARRAY_SIZE(pages);
		got = code_pages(search->code, addr, pages, wanted);
		if (got == 0)
			break; /* unmapped, or the process is gone */
		for (size_t i = 0; i < got && error == 0; i++) {
			if (!code_page_is_private(pages[i]))
				continue;
			if (fd < 0 && !is_unread)
				fd = mapfile_open(search->pid, entry->start, entry->end,
						  entry->path, entry->inode);
			if (search->found.page_count >= BREAKPOINTS_MAX_PAGES) {
				search->found.is_cut = true;
				return 0;
			}
			error = fd < 0 ? 1
				       : compare_page(search, entry, fd,
						      addr + i * DHAT_PAGE_BYTES);
			if (error > 0) {
				is_unread = true;
				error = 0;
			}
		}
		addr += got * DHAT_PAGE_BYTES;
	}
	search->found.unread_files += is_unread;
	return error;
}

int breakpoints_find(pid_t pid, struct breakpoints *ret)
{
	_cleanup_(search_deinit) struct search search = {
		.pid = pid,
	};
	int error = code_open(pid, &search.code);

	if (error)
		return error;
	error = procmaps_read(pid, &search.maps);
	for (size_t i = 0; i < search.maps.count && error == 0; i++) {
		const struct procmaps_entry *entry = &search.maps.entries[i];

		if (entry->is_executable && !entry->is_shared && entry->inode)
			error = search_mapping(&search, entry);
	}
	if (error)
		return error;
	*ret = search.found;
	search.found = (struct breakpoints){ 0 };
	return 0;
}

void breakpoints_deinit(struct breakpoints *breakpoints)
{
	for (size_t i = 0; i < breakpoints->count; i++)
		free(breakpoints->list[i].path);
	free(breakpoints->list);
	*breakpoints = (struct breakpoints){ 0 };
}

void breakpoints_places(const struct breakpoints *breakpoints,
			bool (*is_wanted)(const void *context, size_t i), const void *context,
			char *ret, size_t size)
{
	size_t used = 0, shown = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < breakpoints->count && used < size; i++) {
		const struct breakpoint *b = &breakpoints->list[i];

		if (is_wanted && !is_wanted(context, i))
			continue;
		if (shown++ == 3) {
			snprintf(ret + used, size - used, ", …");
			break;
		}
		used += snprintf(ret + used, size - used, "%s%s+0x%" PRIx64, used ? ", " : "",
				 dhat_text_base_name(b->path), b->file_offset);
	}
}
