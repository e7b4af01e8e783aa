#include "rss.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/account/stack.h"
#include "daemon/proc/file.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct inventory *, inventory_free)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- the table ----------------------------------------------------------------------------- */

enum row {
	ROW_WATCHED,
	ROW_BEFORE,
	ROW_ROUNDING,
	ROW_OWN,
	ROW_UNSEEN,
	ROW_FREE,
	ROW_STACK,
	ROW_ANONYMOUS,
	ROW_FILE_CODE,
	ROW_FILE_DATA,
	ROW_FILE_CHANGED,
	ROW_SHARED,
	ROW_COUNT
};

static const struct {
	const char *name, *meaning;
} row_texts[ROW_COUNT] = {
	[ROW_WATCHED] = { "live blocks", "allocated since the attach and not freed, as asked for" },
	[ROW_BEFORE] = { "blocks from before", "allocated before the attach and not freed since" },
	[ROW_ROUNDING] = { "rounding", "what the allocator gave beyond what was asked for" },
	[ROW_OWN] = { "allocator's own", "heads of blocks, caches and other bookkeeping" },
	[ROW_UNSEEN] = { "not walked", "the allocator's, but whether blocks or free is not known" },
	[ROW_FREE] = { "free in the allocator", "freed but kept: fragmentation and caches" },
	[ROW_STACK] = { "main stack", "threads' stacks are other anonymous memory" },
	[ROW_ANONYMOUS] = { "other anonymous",
			    "mmap by the program, thread stacks, other allocators" },
	[ROW_FILE_CODE] = { "code", "of the program and its libraries; shared with others" },
	[ROW_FILE_DATA] = { "file data",
			    "of the program, its libraries and mapped files, unchanged" },
	[ROW_FILE_CHANGED] = { "changed file data", "variables and relocations: private copies" },
	[ROW_SHARED] = { "shared memory", "shared mappings, of files or anonymous" },
};

/* What the words mean when less is known. */
static const char before_with_rounding[] =
	"allocated before the attach and not freed since; rounding of all blocks";
static const char anonymous_without_inventory[] =
	"blocks from before, the allocator's overhead and free memory, thread stacks, mmap";

/* Does the allocator have a block in this mapping? */
static bool has_block(const struct inventory *inventory, const struct smaps_entry *entry)
{
	size_t low = 0, high = inventory->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (inventory->blocks[middle].addr < entry->start)
			low = middle + 1;
		else
			high = middle;
	}
	return low < inventory->count && inventory->blocks[low].addr < entry->end;
}

static bool is_allocators(const struct inventory *inventory, const struct smaps_entry *entry)
{
	if (!inventory || entry->is_file || entry->is_shared)
		return false;
	return !strcmp(entry->name, "[heap]") || has_block(inventory, entry);
}

/* Everything but the allocator's memory; returns that. */
static uint64_t sum_mappings(const struct rss_figures *figures, uint64_t rows[ROW_COUNT])
{
	uint64_t allocator_bytes = 0;

	for (size_t i = 0; i < figures->smaps->count; i++) {
		const struct smaps_entry *entry = &figures->smaps->entries[i];
		uint64_t changed = least(entry->anonymous_bytes, entry->rss_bytes);

		if (is_allocators(figures->inventory, entry)) {
			allocator_bytes += entry->rss_bytes;
		} else if (entry->is_shared) {
			rows[ROW_SHARED] += entry->rss_bytes;
		} else if (entry->is_file) {
			rows[ROW_FILE_CHANGED] += changed;
			rows[entry->is_executable ? ROW_FILE_CODE : ROW_FILE_DATA] +=
				entry->rss_bytes - changed;
		} else if (!strcmp(entry->name, "[stack]")) {
			rows[ROW_STACK] += entry->rss_bytes;
		} else {
			rows[ROW_ANONYMOUS] += entry->rss_bytes;
		}
	}
	return allocator_bytes;
}

/* The process goes on while we read: each part is at most what is left. */
static void split_allocator(const struct rss_figures *figures, uint64_t allocator_bytes,
			    uint64_t rows[ROW_COUNT])
{
	const struct inventory *inventory = figures->inventory;
	uint64_t blocks = least(figures->resident_block_bytes, allocator_bytes);
	uint64_t used = inventory->arena_block_bytes + inventory->mmapped_bytes;
	uint64_t own = inventory->internal_bytes;

	if (used > inventory->usable_bytes)
		own += used - inventory->usable_bytes;
	rows[ROW_WATCHED] = least(figures->watched_bytes, blocks);
	rows[ROW_BEFORE] = least(figures->before_bytes, blocks - rows[ROW_WATCHED]);
	rows[ROW_ROUNDING] = blocks - rows[ROW_WATCHED] - rows[ROW_BEFORE];
	if (!figures->knows_before) {
		rows[ROW_BEFORE] += rows[ROW_ROUNDING];
		rows[ROW_ROUNDING] = 0;
	}
	rows[ROW_OWN] = least(own, allocator_bytes - blocks);
	rows[ROW_UNSEEN] = least(inventory->unseen_bytes, allocator_bytes - blocks - rows[ROW_OWN]);
	rows[ROW_FREE] = allocator_bytes - blocks - rows[ROW_OWN] - rows[ROW_UNSEEN];
}

static Dhat__Rss__Row *make_row(const char *name, const char *meaning, uint64_t bytes)
{
	Dhat__Rss__Row *row = malloc(sizeof(*row));

	if (!row)
		return NULL;
	dhat__rss__row__init(row);
	row->bytes = bytes;
	row->name = strdup(name);
	row->meaning = strdup(meaning);
	if (row->name && row->meaning)
		return row;
	free(row->name);
	free(row->meaning);
	free(row);
	return NULL;
}

static int add_row(Dhat__Rss *table, const char *name, const char *meaning, uint64_t bytes)
{
	Dhat__Rss__Row *row = make_row(name, meaning, bytes);

	if (!row)
		return -ENOMEM;
	table->rows[table->n_rows++] = row;
	table->rss_bytes += bytes;
	return 0;
}

/* What a reader should know of how it was measured; "" if nothing. */
static const char *note_of(const struct rss_figures *figures)
{
	const struct inventory *inventory = figures->inventory;

	if (!inventory)
		return "the blocks of this allocator cannot be listed from outside: only what was "
		       "allocated since the attach is known, and taken to be all in memory";
	if (!inventory->is_complete)
		return inventory->note;
	if (figures->watched_bytes + figures->before_bytes > figures->resident_block_bytes)
		return "some live memory was never touched, and so is not in memory";
	return "";
}

static int fill_table(const struct rss_figures *figures, Dhat__Rss *table)
{
	uint64_t rows[ROW_COUNT] = { 0 };
	uint64_t allocator_bytes = sum_mappings(figures, rows);
	int r = 0;

	if (figures->inventory) {
		split_allocator(figures, allocator_bytes, rows);
	} else {
		rows[ROW_WATCHED] = least(figures->watched_bytes, rows[ROW_ANONYMOUS]);
		rows[ROW_ANONYMOUS] -= rows[ROW_WATCHED];
	}
	table->rows = calloc(ROW_COUNT, sizeof(void *));
	table->note = strdup(note_of(figures));
	if (!table->rows || !table->note)
		return -ENOMEM;
	for (int i = 0; r == 0 && i < ROW_COUNT; i++) {
		const char *meaning = row_texts[i].meaning;

		if (i == ROW_BEFORE && !figures->knows_before)
			meaning = before_with_rounding;
		if (i == ROW_ANONYMOUS && !figures->inventory)
			meaning = anonymous_without_inventory;
		if (rows[i])
			r = add_row(table, row_texts[i].name, meaning, rows[i]);
	}
	return r;
}

Dhat__Rss *rss_make_table(const struct rss_figures *figures)
{
	Dhat__Rss *table = malloc(sizeof(*table));

	if (!table)
		return NULL;
	dhat__rss__init(table);
	if (fill_table(figures, table) < 0) {
		dhat__rss__free_unpacked(table, NULL);
		return NULL;
	}
	return table;
}

/* ---- pages --------------------------------------------------------------------------------- */

uint64_t rss_count_resident(uint64_t start, uint64_t end, uint64_t page_bytes,
			    rss_is_present is_present, void *context)
{
	uint64_t bytes = 0;

	while (start < end) {
		uint64_t page = start / page_bytes, next = least((page + 1) * page_bytes, end);

		if (is_present(context, page))
			bytes += next - start;
		start = next;
	}
	return bytes;
}

/* A window of /proc/PID/pagemap: one u64 for each page; bit 63: in memory, bits 0 … 54: the frame
 * (pagemap.rst). Memory that was read but never written is the kernel's page of zeros, which smaps
 * does not count: /proc/kpageflags tells (KPF_ZERO_PAGE). */
#define WINDOW_PAGES 4096
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FRAME ((1ull << 55) - 1)
#define KPF_ZERO_PAGE_BIT 24
struct pagemap {
	int fd, flags_fd;      /* the second may be -1: no page is taken for one of zeros then */
	uint64_t first, count; /* pages in the window */
	uint64_t entries[WINDOW_PAGES];
};

static bool is_zero_page(const struct pagemap *pagemap, uint64_t frame)
{
	uint64_t flags;

	if (pagemap->flags_fd < 0 || pread(pagemap->flags_fd, &flags, sizeof(flags),
					   (off_t)(frame * sizeof(flags))) != sizeof(flags))
		return false;
	return flags >> KPF_ZERO_PAGE_BIT & 1;
}

static bool pagemap_is_present(void *pagemap_, uint64_t page)
{
	struct pagemap *pagemap = pagemap_;
	uint64_t entry;
	ssize_t n;

	if (page < pagemap->first || page >= pagemap->first + pagemap->count) {
		n = pread(pagemap->fd, pagemap->entries, sizeof(pagemap->entries),
			  (off_t)(page * sizeof(*pagemap->entries)));
		pagemap->first = page;
		pagemap->count = n > 0 ? n / sizeof(*pagemap->entries) : 0;
		if (!pagemap->count)
			return false;
	}
	entry = pagemap->entries[page - pagemap->first];
	return entry & PAGEMAP_PRESENT && !is_zero_page(pagemap, entry & PAGEMAP_FRAME);
}

static int count_block_bytes(pid_t pid, const struct inventory *inventory, uint64_t *ret,
			     struct dhat_error *err)
{
	_cleanup_free_ struct pagemap *pagemap = calloc(1, sizeof(*pagemap));
	_cleanup_close_ int fd = -1, flags_fd = -1;
	uint64_t page_bytes = sysconf(_SC_PAGESIZE), bytes = 0;
	int r;

	if (!pagemap)
		return dhat_error_errno(err, ENOMEM, "cannot look at the pages of process %d", pid);
	r = proc_open(pid, "pagemap", &fd);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot look at the pages of process %d", pid);
	pagemap->fd = fd;
	flags_fd = pagemap->flags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < inventory->count; i++) {
		const struct inventory_block *block = &inventory->blocks[i];

		bytes += rss_count_resident(block->addr, block->addr + block->usable_bytes,
					    page_bytes, pagemap_is_present, pagemap);
	}
	*ret = bytes;
	return 0;
}

/* ---- a living target ----------------------------------------------------------------------- */

static int read_smaps(pid_t pid, struct smaps *ret, struct dhat_error *err)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_close_ int fd = -1;
	int r = proc_open(pid, "smaps", &fd);

	if (r == 0) {
		file = fdopen(fd, "r");
		r = file ? 0 : -errno;
	}
	if (r == 0) {
		fd = -1; /* the file's */
		r = smaps_parse(file, ret);
	}
	/* a process that has just ended has no mappings */
	if (r == 0 && !ret->count)
		r = -ESRCH;
	return r < 0 ? dhat_error_errno(err, -r, "cannot read the mappings of process %d", pid) : 0;
}

/* An inventory of glibc's blocks says little when others allocate, too. */
static bool has_only_glibc(const struct target_copy *copy)
{
	bool has_glibc = false;

	for (size_t i = 0; i < copy->probed.allocator_count; i++) {
		if (!copy->probed.allocators[i].is_glibc)
			return false;
		has_glibc = true;
	}
	return has_glibc;
}

/* Some 60 bytes each, for a moment; more blocks go by the allocator's own figures. */
#define RSS_MAX_BLOCKS (16u << 20)
#define RSS_MAX_NS 20000000000ull

static int take_inventory(pid_t pid, const struct probed *probed, struct inventory **ret)
{
	const struct inventory_limits limits = { RSS_MAX_BLOCKS, RSS_MAX_NS, NULL, probed };
	struct procmaps maps = { 0 };
	int r;

	r = procmaps_read(pid, &maps);
	if (r == 0)
		r = inventory_take(pid, &maps, &limits, ret, NULL);
	procmaps_deinit(&maps);
	return r;
}

static void sum_points(const struct target_copy *copy, struct rss_figures *figures)
{
	for (uint32_t i = 0; i < copy->point_count; i++) {
		const struct target_point *point = &copy->points[i];

		/* memory that the target mapped itself is no block of an allocator */
		if (point->flags & DHAT_STACK_ANON)
			continue;
		if (point->is_before) {
			figures->before_bytes += point->heap.live_bytes;
			figures->knows_before = true;
		} else {
			figures->watched_bytes += point->heap.live_bytes;
		}
	}
}

int rss_explain(const struct target_copy *copy, Dhat__Rss **ret, struct dhat_error *err)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	_cleanup_(smaps_deinit) struct smaps smaps = { 0 };
	struct rss_figures figures = { .smaps = &smaps, .knows_before = copy->from_start };
	pid_t pid = copy->identity.pid;
	int r;

	if (copy->state != TARGET_ATTACHED && copy->state != TARGET_DETACHED)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
				      "process %d has ended: it has no memory to explain; "
				      "`dhatctl stats' shows what it kept",
				      pid);
	sum_points(copy, &figures);
	if (has_only_glibc(copy) && take_inventory(pid, &copy->probed, &inventory) == 0) {
		r = count_block_bytes(pid, inventory, &figures.resident_block_bytes, err);
		if (r < 0)
			return r;
		figures.inventory = inventory;
	}
	r = read_smaps(pid, &smaps, err);
	if (r < 0)
		return r;
	*ret = rss_make_table(&figures);
	return *ret ? 0 : dhat_error_errno(err, ENOMEM, "cannot make the table");
}
