#include "rss.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/account/stack.h"
#include "daemon/proc/file.h"
#include "daemon/proc/residency.h"
#include "proto/base/cleanup.h"
#include "proto/base/units.h"

DEFINE_CLEANUP_PTR(struct inventory *, inventory_free)
DEFINE_CLEANUP_PTR(struct residency *, residency_free)

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
	ROW_FREE,
	ROW_UNKNOWN,
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
	[ROW_FREE] = { "free in the allocator", "freed but kept: fragmentation and caches" },
	[ROW_UNKNOWN] = { "not known", "the allocator's: blocks or free memory, it was not seen" },
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
static const char unknown_without_inventory[] =
	"this allocator's heap cannot be read: blocks from before, its own and free memory; thread "
	"stacks, mmap by the program";
static const char unknown_without_before[] =
	"this allocator's heap cannot be read: its own and free memory; thread stacks, mmap by the "
	"program";

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

/* Everything but the allocator's memory; returns that. Whose nameless memory is, is not known
 * without an inventory: all of it may be the allocator's. */
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
		} else if (figures->inventory) {
			rows[ROW_ANONYMOUS] += entry->rss_bytes;
		} else {
			allocator_bytes += entry->rss_bytes;
		}
	}
	return allocator_bytes;
}

static uint64_t take(uint64_t *left, uint64_t bytes)
{
	bytes = least(*left, bytes);
	*left -= bytes;
	return bytes;
}

/* What an inventory adds to what is known of live blocks; left: of the allocator's memory. */
static void split_rest(const struct rss_figures *figures, uint64_t *left, uint64_t rows[ROW_COUNT])
{
	const struct inventory *inventory = figures->inventory;
	uint64_t used = inventory->arena_block_bytes + inventory->mmapped_bytes -
			inventory->cached_mmapped_bytes;
	uint64_t live = rows[ROW_WATCHED] + rows[ROW_BEFORE];
	uint64_t own = inventory->internal_bytes;

	if (figures->resident_block_bytes > live)
		rows[figures->knows_before ? ROW_ROUNDING : ROW_BEFORE] +=
			take(left, figures->resident_block_bytes - live);
	if (used > inventory->usable_bytes)
		own += used - inventory->usable_bytes;
	rows[ROW_OWN] = take(left, own);
	rows[ROW_UNKNOWN] = take(left, inventory->unseen_bytes);
	rows[ROW_FREE] = take(left, *left);
}

/* The process goes on while we read: each part is at most what is left. */
static void split_allocator(const struct rss_figures *figures, uint64_t allocator_bytes,
			    uint64_t rows[ROW_COUNT])
{
	uint64_t left = allocator_bytes;

	rows[ROW_WATCHED] = take(&left, figures->resident_watched_bytes);
	rows[ROW_BEFORE] = take(&left, figures->resident_before_bytes);
	if (figures->inventory)
		split_rest(figures, &left, rows);
	else
		rows[ROW_UNKNOWN] = left;
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
static void write_note(const struct rss_figures *figures, char *note, size_t size)
{
	const struct inventory *inventory = figures->inventory;
	uint64_t live = figures->watched_bytes + figures->before_bytes;
	uint64_t resident = figures->resident_watched_bytes + figures->resident_before_bytes;
	char absent_text[DHAT_UNIT_CHARS], live_text[DHAT_UNIT_CHARS],
		swapped_text[DHAT_UNIT_CHARS];

	*note = 0;
	if (inventory && !inventory->is_complete)
		snprintf(note, size, "%s", inventory->note);
	else if (live > resident)
		snprintf(
			note, size,
			"%s of the %s that are live are not in memory: %s%snever touched, or given "
			"back",
			dhat_format_size(live - resident, absent_text),
			dhat_format_size(live, live_text),
			figures->swapped_bytes
				? dhat_format_size(figures->swapped_bytes, swapped_text)
				: "",
			figures->swapped_bytes ? " swapped out, the others " : "");
}

static const char *meaning_of(enum row row, const struct rss_figures *figures)
{
	if (row == ROW_BEFORE && !figures->knows_before)
		return before_with_rounding;
	if (row == ROW_UNKNOWN && !figures->inventory)
		return figures->knows_before ? unknown_without_before : unknown_without_inventory;
	return row_texts[row].meaning;
}

static int fill_table(const struct rss_figures *figures, Dhat__Rss *table)
{
	uint64_t rows[ROW_COUNT] = { 0 };
	uint64_t allocator_bytes = sum_mappings(figures, rows);
	char note[320];
	int r = 0;

	split_allocator(figures, allocator_bytes, rows);
	write_note(figures, note, sizeof(note));
	table->rows = calloc(ROW_COUNT, sizeof(void *));
	table->note = strdup(note);
	if (!table->rows || !table->note)
		return -ENOMEM;
	for (int i = 0; r == 0 && i < ROW_COUNT; i++)
		if (rows[i])
			r = add_row(table, row_texts[i].name, meaning_of(i, figures), rows[i]);
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

/* ---- a living target ----------------------------------------------------------------------- */

static int has_ended(pid_t pid, struct dhat_error *err)
{
	return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
			      "process %d has ended: it has no memory to explain; `dhatctl stats' "
			      "shows what it kept",
			      pid);
}

/* It may end at any moment. */
static int cannot_read(pid_t pid, int error, const char *what, struct dhat_error *err)
{
	if (error == ESRCH || error == ENOENT)
		return has_ended(pid, err);
	return dhat_error_errno(err, error, "cannot read %s of process %d", what, pid);
}

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
	return r < 0 ? cannot_read(pid, -r, "the mappings", err) : 0;
}

/* Some 60 bytes each, for a moment; more blocks go by the allocator's own figures. */
#define RSS_MAX_BLOCKS (16u << 20)
#define RSS_MAX_NS 20000000000ull

static int take_inventory(pid_t pid, const struct probed *probed, const atomic_bool *stop,
			  struct inventory **ret)
{
	const struct inventory_limits limits = { RSS_MAX_BLOCKS, RSS_MAX_NS, stop, probed };
	struct procmaps maps = { 0 };
	int r;

	r = procmaps_read(pid, &maps);
	if (r == 0)
		r = inventory_take(pid, &maps, &limits, ret, NULL);
	procmaps_deinit(&maps);
	return r;
}

struct sums {
	const struct residency *residency, *swapped;
	struct rss_figures *figures;
};

static void add_block(void *context, const struct block *block, bool is_before)
{
	struct sums *sums = context;
	struct rss_figures *figures = sums->figures;
	uint64_t resident;

	/* memory that the target mapped itself is no block of an allocator */
	if (block->domain == DHAT_DOMAIN_ANON)
		return;
	resident = residency_bytes(sums->residency, block->addr, block->size_bytes);
	figures->swapped_bytes += residency_bytes(sums->swapped, block->addr, block->size_bytes);
	if (is_before) {
		figures->before_bytes += block->size_bytes;
		figures->resident_before_bytes += resident;
		figures->knows_before = true;
	} else {
		figures->watched_bytes += block->size_bytes;
		figures->resident_watched_bytes += resident;
	}
}

static uint64_t resident_bytes(const struct inventory *inventory, const struct residency *residency)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < inventory->count; i++)
		bytes += residency_bytes(residency, inventory->blocks[i].addr,
					 inventory->blocks[i].usable_bytes);
	return bytes;
}

static int read_pages(pid_t pid, struct smaps *smaps, struct residency **ret,
		      struct residency **ret_swapped, struct dhat_error *err)
{
	int r = read_smaps(pid, smaps, err);

	if (r < 0)
		return r;
	r = residency_read(pid, smaps, PAGEMAP_IN_MEMORY, ret);
	if (r == 0)
		r = residency_read(pid, smaps, PAGEMAP_SWAPPED, ret_swapped);
	return r < 0 ? cannot_read(pid, -r, "the pages", err) : 0;
}

int rss_explain(const struct target_copy *copy, const atomic_bool *stop, Dhat__Rss **ret,
		struct dhat_error *err)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	_cleanup_(residency_free_ptr) struct residency *residency = NULL, *swapped = NULL;
	_cleanup_(smaps_deinit) struct smaps smaps = { 0 };
	struct rss_figures figures = { .smaps = &smaps, .knows_before = copy->from_start };
	pid_t pid = copy->identity.pid;
	int r;

	if (copy->state != TARGET_ATTACHED && copy->state != TARGET_DETACHED)
		return has_ended(pid, err);
	r = read_pages(pid, &smaps, &residency, &swapped, err);
	if (r < 0)
		return r;
	target_visit_blocks(copy->target, add_block,
			    &(struct sums){ residency, swapped, &figures });
	/* an inventory of glibc's blocks says little when others allocate, too */
	if (probed_is_only_glibc(&copy->probed) &&
	    take_inventory(pid, &copy->probed, stop, &inventory) == 0) {
		figures.resident_block_bytes = resident_bytes(inventory, residency);
		figures.inventory = inventory;
	}
	if (stop && atomic_load(stop))
		return dhat_error_set(err, ECANCELED, DHAT_EXIT_FAILED,
				      "nobody waits any more for what process %d consists of", pid);
	*ret = rss_make_table(&figures);
	return *ret ? 0 : dhat_error_errno(err, ENOMEM, "cannot make the table");
}
