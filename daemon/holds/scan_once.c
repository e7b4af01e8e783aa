#include "scan_once.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "budget_room.h"
#include "daemon/kernel/threads.h"
#include "daemon/proc/file.h"
#include "daemon/proc/pagemap.h"
#include "daemon/proc/status.h"
#include "daemon/reach/later.h"
#include "daemon/reach/renew.h"
#include "find_words.h"
#include "hazards.h"
#include "kernel_words.h"
#include "left_stack.h"
#include "mapping_room.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/texts.h"
#include "proto/base/units.h"

void scan_once_keep_table(struct scan_once *scan)
{
	const struct scan_once kept = { .table = scan->table,
					.blocks = scan->blocks,
					.block_count = scan->block_count,
					.share = scan->share };

	reach_graph_deinit(&scan->graph);
	procmaps_deinit(&scan->maps);
	layout_deinit(&scan->layout);
	free(scan->threads);
	thread_frames_deinit(&scan->frames);
	texts_free(scan->hazards);
	room_return_all(&scan->look_share);
	*scan = kept;
}

void scan_once_deinit(struct scan_once *scan)
{
	scan_once_keep_table(scan);
	if (scan->blocks) /* a scan of zeroes has none */
		shared_deinit(&scan->table);
	room_return_all(&scan->share);
	*scan = (struct scan_once){ 0 };
}

/* ---- the table ------------------------------------------------------------------------------ */

/* Blocks are copied while the target is locked, and what is done with them is done between. */
struct pieces {
	struct quiet *quiet;
	int (*take)(void *context, const struct reach_block *block);
	void *context;
	struct reach_block *list;
	size_t count, room;
	int error;
};

/* What the target mapped itself is memory, in which blocks lie; and what has no room in the table
 * is none that a pointer could lead to. */
static void copy_block(void *pieces_, const struct block *block)
{
	struct pieces *pieces = pieces_;

	if (block->domain == DHAT_DOMAIN_ANON || pieces->error ||
	    !reach_has_room_for(block->addr, block->size_bytes, block->point))
		return;
	pieces->error = array_make_room(&pieces->list, &pieces->room, pieces->count);
	if (!pieces->error)
		pieces->list[pieces->count++] =
			(struct reach_block){ block->addr, block->size_bytes, block->birth_ns,
					      block->point, 0 };
}

static int take_piece(void *pieces_)
{
	struct pieces *pieces = pieces_;
	int r = pieces->error;

	for (size_t i = 0; i < pieces->count && r == 0; i++)
		r = pieces->take(pieces->context, &pieces->list[i]);
	pieces->count = 0;
	return r;
}

static int take_piece_quietly(void *pieces_)
{
	struct pieces *pieces = pieces_;

	return quiet_run(pieces->quiet, take_piece, pieces);
}

static int walk_blocks(struct target *target, struct quiet *quiet,
		       int (*take)(void *context, const struct reach_block *block), void *context)
{
	struct pieces pieces = { .quiet = quiet, .take = take, .context = context };
	int r = target_walk_blocks(target, copy_block, take_piece_quietly, &pieces);

	free(pieces.list);
	return r;
}

struct table {
	struct scan_once *scan;
	struct reach_renewal renewal;
};

static int make_table_room(void *scan_, size_t count, struct reach_block **ret)
{
	struct scan_once *scan = scan_;
	uint64_t wanted = shared_bytes_with(&scan->table, count * sizeof(**ret));
	int r = wanted > scan->share.bytes ? room_claim(&scan->share, wanted - scan->share.bytes)
					   : 0;

	if (r == 0)
		r = shared_make_room(&scan->table, count * sizeof(**ret));
	if (r == 0)
		*ret = scan->blocks = scan->table.memory;
	return r;
}

static int begin_table(void *table)
{
	return reach_renew_begin(&((struct table *)table)->renewal);
}

static int take_block(void *table_, const struct reach_block *block)
{
	struct table *table = table_;

	return block->birth_ns < table->scan->begin_ns ? reach_renew_add(&table->renewal, block)
						       : 0;
}

static int end_table(void *table)
{
	return reach_renew_end(&((struct table *)table)->renewal);
}

/* Of the scan before, if there was one. */
static int renew_table(struct table *table, struct target *target, struct quiet *quiet)
{
	int r = 1;

	while (r > 0) {
		r = quiet_run(quiet, begin_table, table);
		if (r == 0)
			r = walk_blocks(target, quiet, take_block, table);
		if (r == 0)
			r = quiet_run(quiet, end_table, table);
	}
	return r;
}

static int take_table(struct target *target, struct quiet *quiet, struct room *room,
		      struct scan_once *scan)
{
	struct table table = { .scan = scan };
	int r = 0;

	scan->share.room = room;
	if (!scan->blocks) {
		scan->table = (struct shared)SHARED_NONE;
		r = make_table_room(scan, 1, &table.renewal.blocks);
	}
	table.renewal = (struct reach_renewal){ .blocks = scan->blocks,
						.count = scan->block_count,
						.make_room = make_table_room,
						.context = scan,
						.room = room };
	if (r == 0)
		r = renew_table(&table, target, quiet);
	scan->block_count = table.renewal.count;
	reach_renew_deinit(&table.renewal);
	return r;
}

struct meeting {
	struct scan_once *scan;
	struct reach_later later;
};

static int begin_meeting(void *meeting_)
{
	struct meeting *meeting = meeting_;

	return reach_later_begin(&meeting->later, meeting->scan->blocks, meeting->scan->block_count,
				 meeting->scan->graph.room);
}

static int meet_block(void *later, const struct reach_block *block)
{
	return reach_later_add(later, block);
}

static int meet_again(struct target *target, struct quiet *quiet, struct scan_once *scan,
		      struct reach_later *ret)
{
	struct meeting meeting = { .scan = scan };
	int r = quiet_run(quiet, begin_meeting, &meeting);

	if (r == 0)
		r = walk_blocks(target, quiet, meet_block, &meeting.later);
	if (r)
		reach_later_deinit(&meeting.later);
	else
		*ret = meeting.later;
	return r;
}

/* ---- what is there -------------------------------------------------------------------------- */

static int read_smaps(pid_t pid, struct smaps *ret)
{
	_cleanup_fclose_ FILE *file = NULL;
	int fd = -1, r = proc_open(pid, "smaps", &fd);

	if (r)
		return r;
	file = fdopen(fd, "r");
	return file ? smaps_parse(file, ret) : -ENOMEM;
}

static int compare_threads(const void *a_, const void *b_)
{
	const struct dhat_thread_state *a = a_, *b = b_;
	uint64_t x = a->words[DHAT_REGISTER_SP], y = b->words[DHAT_REGISTER_SP];

	return x < y ? -1 : x > y;
}

/* How many there are is known only when they are there, in an array that has doubled. */
static int read_threads(pid_t pid, struct scan_once *scan)
{
	scan->has_registers = threads_read(pid, &scan->threads, &scan->thread_count, NULL) == 0;
	if (!scan->has_registers)
		return 0;
	qsort(scan->threads, scan->thread_count, sizeof(*scan->threads), compare_threads);
	return room_claim(&scan->look_share,
			  scan->thread_count * (2 * sizeof(*scan->threads) + sizeof(uint64_t)));
}

static int look(pid_t pid, const struct reach_block *blocks, size_t block_count,
		struct scan_once *scan)
{
	_cleanup_free_ uint64_t *left_stacks = NULL;
	_cleanup_(smaps_deinit) struct smaps smaps = { 0 };
	struct layout_facts facts = {
		.maps = &scan->maps, .smaps = &smaps, .blocks = blocks, .block_count = block_count
	};
	int r = mapping_room_claim(pid, &scan->look_share);

	if (r == 0)
		r = procmaps_read(pid, &scan->maps);
	if (r == 0)
		r = read_smaps(pid, &smaps);
	if (r)
		return r;
	r = left_stacks_find(pid, scan->threads, scan->thread_count, &left_stacks);
	if (r)
		return r;
	facts.left_stacks = left_stacks;
	facts.threads = scan->threads;
	facts.thread_count = scan->thread_count;
	r = layout_make(&facts, &scan->layout);
	if (r == 0)
		r = hazards_find(pid, &scan->maps, &smaps, &scan->hazards);
	for (size_t i = 0; i < scan->thread_count && r == 0; i++)
		scan->lacking_threads += !layout_has_stack_of(&scan->layout, &scan->threads[i]);
	return r;
}

/* ---- pages ---------------------------------------------------------------------------------- */

struct ranges {
	struct reach_range *list;
	size_t count, room;
	const struct layout_area *area;
	uint64_t swapped_bytes;
	struct room_share share;
};

static int take_run(void *ranges_, const struct pagemap_run *run)
{
	struct ranges *ranges = ranges_;
	const struct layout_area *area = ranges->area;
	uint64_t start = run->first * PAGEMAP_PAGE, end = start + run->count * PAGEMAP_PAGE;
	struct reach_range *last = ranges->count ? &ranges->list[ranges->count - 1] : NULL;
	int r;

	if (!area->is_shared && run->what & PAGEMAP_OF_FILE && area->is_file)
		return 0;
	start = start > area->start ? start : area->start;
	end = end < area->end ? end : area->end;
	if (start >= end)
		return 0;
	if (!(run->what & PAGEMAP_IN_MEMORY)) {
		ranges->swapped_bytes += end - start;
		return 0;
	}
	if (last && last->end == start && last->class == area->class &&
	    last->is_code == area->is_code) {
		last->end = end;
		return 0;
	}
	r = room_make_room(&ranges->share, &ranges->list, &ranges->room, ranges->count);
	if (r)
		return r;
	ranges->list[ranges->count++] =
		(struct reach_range){ start, end, area->class, area->is_code };
	return 0;
}

static int find_pages(pid_t pid, const struct layout *layout, struct ranges *ranges)
{
	struct pagemap pagemap = PAGEMAP_CLOSED;
	int r = pagemap_open(pid, &pagemap);

	for (size_t i = 0; i < layout->count && r == 0; i++) {
		const struct layout_area *area = &layout->areas[i];
		uint64_t end = (area->end + PAGEMAP_PAGE - 1) / PAGEMAP_PAGE * PAGEMAP_PAGE;

		ranges->area = area;
		r = pagemap_scan(&pagemap, area->start / PAGEMAP_PAGE * PAGEMAP_PAGE, end, take_run,
				 ranges);
	}
	pagemap_deinit(&pagemap);
	return r;
}

/* ---- what is in no memory ------------------------------------------------------------------- */

static int add_word(struct scan_once *scan, uint64_t word, uint64_t place, enum reach_class class)
{
	uint32_t edge = reach_point_in(scan->blocks, scan->block_count, word);

	return edge == REACH_NONE ? 0 : reach_add_root(&scan->graph.found, place, edge, class);
}

/* Where a register's root stands is the number of its thread, and a word of the kernel's what it is
 * called: names.c. */
static int add_thread_words(struct scan_once *scan)
{
	int r = reach_reserve_roots(&scan->graph.found,
				    scan->thread_count * (DHAT_REGISTER_WORDS + 1));

	for (size_t i = 0; i < scan->thread_count && r == 0; i++) {
		const struct dhat_thread_state *thread = &scan->threads[i];

		for (size_t j = 0; j < DHAT_REGISTER_WORDS && r == 0; j++)
			r = add_word(scan, thread->words[j], i, REACH_REGISTER);
		if (r == 0 && thread->signal_stack_bytes)
			r = add_word(scan, thread->signal_stack,
				     (uintptr_t) "a thread's signal stack", REACH_KERNEL);
	}
	return r;
}

static int add_kernel_words(pid_t pid, struct scan_once *scan)
{
	struct kernel_words words = { 0 };
	int r = kernel_words_read(pid, &words);

	if (r == 0)
		r = reach_reserve_roots(&scan->graph.found, words.count);
	for (size_t i = 0; i < words.count && r == 0; i++)
		r = add_word(scan, words.list[i].value, (uintptr_t)words.list[i].name,
			     REACH_KERNEL);
	kernel_words_deinit(&words);
	return r;
}

/* ---- the whole ------------------------------------------------------------------------------ */

struct scanning {
	const struct scan_once_asking *asking;
	struct scan_once *scan;
	struct reach_later later;
	struct dhat_error *err;
};

struct reading {
	const struct scan_once *scan;
	struct worker *worker;
	int fd;
	const struct ranges *ranges;
};

static int ask_worker(void *reading_, const struct reach_limits *limits, struct reach_found *ret,
		      struct dhat_error *err)
{
	const struct reading *reading = reading_;
	const struct scan_once *scan = reading->scan;

	return worker_scan(reading->worker, reading->fd, &scan->table, scan->block_count,
			   reading->ranges->list, reading->ranges->count, limits, ret, err);
}

static int read_words(const struct scanning *scanning, const struct ranges *ranges)
{
	struct scan_once *scan = scanning->scan;
	pid_t pid = scanning->asking->identity->pid;
	struct reading reading = { scan, scanning->asking->worker, -1, ranges };
	const struct find_words_asking asking = {
		.room = scan->graph.room,
		.blocks = scan->blocks,
		.block_count = scan->block_count,
		.ranges = ranges->list,
		.range_count = ranges->count,
		.scan = ask_worker,
		.context = &reading,
	};
	_cleanup_close_ int fd = -1;
	int r = proc_open(pid, "mem", &fd);

	if (r)
		return dhat_error_errno(scanning->err, -r, "cannot open the memory of process %d",
					(int)pid);
	scan->graph.blocks = scan->blocks;
	scan->graph.count = scan->block_count;
	reading.fd = fd;
	return find_words(&asking, &scan->graph.found, scanning->err);
}

/* Behind the scan's last word: it says of which threads its words are one picture. */
static int find_frames(const struct scanning *scanning)
{
	struct scan_once *scan = scanning->scan;
	const struct thread_frames_facts facts = { scanning->asking->target,
						   scanning->asking->identity->pid, &scan->maps,
						   scan->threads, scan->thread_count };

	return thread_frames_find(&facts, &scan->frames);
}

static int read_all(void *scanning_)
{
	struct scanning *scanning = scanning_;
	struct scan_once *scan = scanning->scan;
	pid_t pid = scanning->asking->identity->pid;
	struct ranges ranges = { .share = { .room = scan->graph.room } };
	int r;

	scan->look_share.room = scan->graph.room;
	r = read_threads(pid, scan);
	if (r == 0)
		r = look(pid, scan->blocks, scan->block_count, scan);
	if (r == 0)
		r = find_pages(pid, &scan->layout, &ranges);
	scan->swapped_bytes = ranges.swapped_bytes;
	if (r == 0)
		r = read_words(scanning, &ranges);
	free(ranges.list);
	room_return_all(&ranges.share);
	if (r == 0)
		r = find_frames(scanning);
	if (r == 0)
		r = add_thread_words(scan);
	return r ? r : add_kernel_words(pid, scan);
}

static int compare_with_now(void *scanning_)
{
	struct scanning *scanning = scanning_;
	struct scan_once *scan = scanning->scan;
	struct scan_once now = { .look_share = { .room = scan->graph.room } };
	struct reach_later *later = &scanning->later;
	pid_t pid = scanning->asking->identity->pid;
	int r = reach_later_end(later);

	if (r)
		return r;
	r = reach_graph_compare(&scan->graph, scan->blocks, later->young, later->young_count);
	if (r)
		return r;
	r = read_threads(pid, &now); /* so that stacks are known for what they are */
	if (r == 0)
		r = look(pid, later->young, later->young_count, &now);
	if (r == 0)
		scan->has_grown = layout_has_grown(&scan->layout, &now.layout, later->young,
						   later->young_count, scan->begin_ns);
	scan_once_deinit(&now);
	return r;
}

static int explain(int r, pid_t pid, struct dhat_error *err)
{
	if (r == -ESRCH)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
				      "process %d has ended, or runs another program now",
				      (int)pid);
	if (r == -EBUSY)
		return dhat_error_set(err, EBUSY, DHAT_EXIT_FAILED,
				      "process %d replaces its blocks faster than they can be "
				      "looked at; ask again when it does less",
				      (int)pid);
	return dhat_error_errno(err, -r, "cannot look at the memory of process %d", (int)pid);
}

static bool is_same(const struct target_identity *identity)
{
	return proc_start_ticks(identity->pid) == identity->start_ticks;
}

static int scan(struct scanning *scanning)
{
	struct scan_once *scan = scanning->scan;
	const struct scan_once_asking *asking = scanning->asking;
	struct target *target = asking->target;
	struct quiet *quiet = asking->quiet;
	int r = -ESRCH;

	scan->begin_ns = clock_now_ns(CLOCK_MONOTONIC);
	if (is_same(asking->identity))
		r = take_table(target, quiet, asking->room, scan);
	if (r)
		return r;
	scan->graph.room = asking->room;
	r = quiet_run(quiet, read_all, scanning);
	if (r == 0)
		r = meet_again(target, quiet, scan, &scanning->later);
	if (r == 0)
		r = quiet_run(quiet, compare_with_now, scanning);
	reach_later_deinit(&scanning->later);
	scan->end_ns = clock_now_ns(CLOCK_MONOTONIC);
	return r;
}

int scan_once(const struct scan_once_asking *asking, struct scan_once *once, struct dhat_error *err)
{
	struct scanning scanning = { .asking = asking, .scan = once, .err = err };
	int r;

	scan_once_keep_table(once);
	r = scan(&scanning);
	if (r == -ENOSPC)
		r = budget_room_explain(asking->room, err);
	if (!is_same(asking->identity) || target_state_of(asking->target) != TARGET_ATTACHED)
		r = -ESRCH;
	if (!r)
		return 0;
	scan_once_deinit(once);
	return explain(r, asking->identity->pid, err); /* where that is not said yet */
}
