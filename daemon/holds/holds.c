#include "holds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "book.h"
#include "budget_room.h"
#include "daemon/proc/status.h"
#include "details.h"
#include "look_closer.h"
#include "losses.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/texts.h"
#include "proto/base/units.h"
#include "root_names.h"
#include "standstill.h"
#include "summary.h"
#include "why.h"

DEFINE_CLEANUP_PTR(struct target_copy *, target_copy_free)

struct finding {
	const struct holds_asking *asking;
	struct quiet *quiet;		/* NULL: haste is made */
	const struct target_copy *copy; /* who it is */
	struct book_watch *watch;
	struct room room;
	struct scan_once scan; /* the last one */
	struct reach_mark mark;
	size_t candidates; /* blocks */
	struct holds *holds;
	size_t last_dropped,
		before_last; /* candidates dropped by the last scan, and had before it */
};

struct holds *holds_ref(struct holds *holds)
{
	atomic_fetch_add(&holds->references, 1);
	return holds;
}

void holds_unref(struct holds *holds)
{
	if (!holds || atomic_fetch_sub(&holds->references, 1) > 1)
		return;
	for (uint32_t i = 0; i < holds->root_count; i++)
		free(holds->roots[i].name);
	for (uint32_t i = 0; i < holds->site_count; i++)
		free(holds->sites[i].type);
	for (uint32_t i = 0; i < holds->chain_count; i++) {
		free(holds->chains[i].in_root);
		free(holds->chains[i].self_member);
	}
	for (uint32_t i = 0; i < holds->link_count; i++)
		free(holds->links[i].member);
	free(holds->cycles);
	free(holds->roots);
	free(holds->sites);
	free(holds->chains);
	free(holds->links);
	texts_free(holds->refusals);
	free(holds->since);
	why_free(holds->why);
	free(holds);
}

DEFINE_CLEANUP_PTR(struct holds *, holds_unref)

static uint64_t text_bytes(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

uint64_t holds_bytes(const struct holds *holds)
{
	uint64_t bytes = sizeof(*holds) + holds->site_count * sizeof(*holds->sites) +
			 holds->chain_room * sizeof(*holds->chains) +
			 holds->link_room * sizeof(*holds->links) +
			 holds->cycle_count * sizeof(*holds->cycles) +
			 holds->root_count * sizeof(*holds->roots) + text_bytes(holds->since);

	for (uint32_t i = 0; i < holds->site_count; i++)
		bytes += text_bytes(holds->sites[i].type);
	for (uint32_t i = 0; i < holds->chain_count; i++)
		bytes += text_bytes(holds->chains[i].in_root) +
			 text_bytes(holds->chains[i].self_member);
	for (uint32_t i = 0; i < holds->link_count; i++)
		bytes += text_bytes(holds->links[i].member);
	for (uint32_t i = 0; i < holds->root_count; i++)
		bytes += text_bytes(holds->roots[i].name);
	return bytes;
}

/* Giving back a gigabyte takes a tenth of a second. */
static int forget_scan(void *finding_)
{
	struct finding *finding = finding_;

	reach_mark_deinit(&finding->mark);
	scan_once_deinit(&finding->scan);
	return 0;
}

static int forget_but_table(void *finding_)
{
	struct finding *finding = finding_;

	reach_mark_deinit(&finding->mark);
	scan_once_keep_table(&finding->scan);
	return 0;
}

/* ---- why nothing may be called lost --------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static int refuse(struct finding *finding, const char *format,
							...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return texts_add_once(&finding->holds->refusals, text);
}

/* Of one scan. What one refuses, all do. */
static int judge_scan(struct finding *finding)
{
	const struct scan_once *scan = &finding->scan;
	char size[DHAT_UNIT_CHARS];
	int r = 0;

	for (char **hazard = scan->hazards; hazard && *hazard && r == 0; hazard++)
		r = refuse(finding, "%s", *hazard);
	if (!scan->has_registers && r == 0)
		r = refuse(finding, "this kernel does not tell threads' registers and where their "
				    "stacks begin: stacks were taken whole");
	if (scan->lacking_threads && r == 0)
		r = refuse(finding,
			   "threads run on stacks that could not be found: what only those hold is "
			   "not seen");
	if (scan->swapped_bytes && r == 0)
		r = refuse(finding,
			   "%s of its memory is swapped out, and was not read: reading would bring "
			   "it back",
			   dhat_format_size(scan->swapped_bytes, size));
	return r;
}

/* Memory came or went during the scan: what moved there, or from there, was not seen. */
static bool is_unsettled(const struct finding *finding)
{
	const struct reach_found *found = &finding->scan.graph.found;

	return finding->scan.has_grown || found->short_bytes * HOLDS_MAX_SHORT > found->read_bytes;
}

/* Of the account, which may have lost events meanwhile, too. */
static int judge_account(struct finding *finding)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	int r = target_copy(finding->asking->target, false, &copy, NULL);

	if (r)
		return r;
	if (copy->verdict == DHAT_INEXACT)
		r = refuse(finding, "the list of live blocks is inexact: %s",
			   copy->reasons && *copy->reasons ? *copy->reasons : "events were lost");
	return r;
}

/* Where nothing moves while it is looked at one look tells all. */
static uint32_t least_scans(const struct finding *finding)
{
	return finding->asking->with_stop || finding->asking->is_still ? 1 : HOLDS_MIN_SCANS;
}

static int judge_candidates(struct finding *finding)
{
	char dropped[DHAT_UNIT_CHARS], before[DHAT_UNIT_CHARS];
	bool is_busy = finding->last_dropped * 100 > finding->before_last * HOLDS_BUSY_PERCENT;

	if (!finding->candidates)
		return 0; /* there is nothing that could be called so */
	if (finding->asking->why && finding->holds->scans < least_scans(finding))
		return refuse(finding, "one address was asked about: %u scan%s did",
			      finding->holds->scans, finding->holds->scans == 1 ? "" : "s");
	if (finding->holds->scans < least_scans(finding))
		return refuse(finding, "%u scan%s took so long that there was no time for %u",
			      finding->holds->scans, finding->holds->scans == 1 ? "" : "s",
			      HOLDS_MIN_SCANS);
	if (!finding->last_dropped && !is_unsettled(finding))
		return 0;
	if (!finding->last_dropped)
		return finding->scan.has_grown
			       ? refuse(finding, "its mappings changed during each scan: what "
						 "moved there was not seen")
			       : refuse(finding,
					"more than one byte in %u of its memory could not be read",
					HOLDS_MAX_SHORT);
	return refuse(finding,
		      "%s: of %s blocks that nothing was seen to hold %s were freed, or seen to be "
		      "held, by the last of %u scans; ask again when it does less",
		      is_busy ? "it is too busy to tell" : "it does not come to rest",
		      dhat_format_count(finding->before_last, before),
		      dhat_format_count(finding->last_dropped, dropped), finding->holds->scans);
}

/* ---- scans ---------------------------------------------------------------------------------- */

static int say(struct finding *finding, const char *text)
{
	const struct holds_asking *asking = finding->asking;

	if (asking->stop && atomic_load(asking->stop))
		return -ECANCELED;
	return asking->progress ? asking->progress(asking->context, text) : 0;
}

static int say_scan(struct finding *finding)
{
	char text[192], blocks[DHAT_UNIT_CHARS];

	if (finding->holds->scans)
		snprintf(text, sizeof(text),
			 "scan %u: looking again at %s blocks that nothing was seen to hold",
			 finding->holds->scans + 1, dhat_format_count(finding->candidates, blocks));
	else
		snprintf(text, sizeof(text), "scan 1: reading its memory");
	return say(finding, text);
}

struct look {
	struct finding *finding;
	struct dhat_error *err;
};

static int look(void *look_)
{
	struct look *look = look_;
	struct finding *finding = look->finding;

	const struct scan_once_asking asking = {
		.target = finding->asking->target,
		.identity = &finding->copy->identity,
		.worker = finding->asking->worker,
		.quiet = finding->quiet,
		.room = &finding->room,
	};

	return scan_once(&asking, &finding->scan, look->err);
}

/* Its number may be another's by now, who is not to be stopped. */
static int stop_and_look(struct finding *finding, struct look *asked, uint64_t *ret_held_ns,
			 struct dhat_error *err)
{
	const struct target_identity *identity = &finding->copy->identity;

	if (proc_start_ticks(identity->pid) != identity->start_ticks)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS, "process %d has ended",
				      (int)identity->pid);
	return standstill_run(identity->pid, look, asked, ret_held_ns, err);
}

/* Nobody is stopped while others are looked at. */
static int look_once(struct finding *finding, struct dhat_error *err)
{
	const struct holds_asking *asking = finding->asking;
	struct look asked = { finding, err };
	uint64_t held_ns = 0;
	int r = worker_take_scans(asking->worker, asking->stop,
				  asking->with_stop || asking->is_still);

	if (r)
		return r;
	r = asking->with_stop ? stop_and_look(finding, &asked, &held_ns, err) : look(&asked);
	worker_give_scans(asking->worker);
	finding->holds->stopped_ns += held_ns;
	return r;
}

/* What is not reached may be lost. */
static void take_candidates(struct finding *finding)
{
	const struct scan_once *scan = &finding->scan;
	struct holds *holds = finding->holds;

	if (!holds->scans++) {
		holds->first_scan_ns = finding->scan.begin_ns;
		finding->candidates = candidates_begin(&scan->graph, &finding->mark, scan->blocks);
		return;
	}
	finding->before_last = finding->candidates;
	finding->candidates = candidates_keep(&scan->graph, &finding->mark, scan->blocks);
	finding->last_dropped = finding->before_last - finding->candidates;
	holds->dropped += finding->last_dropped;
}

static int follow_pointers(void *finding_)
{
	struct finding *finding = finding_;
	int r = root_names_plain(&finding->scan);

	if (r == 0)
		r = reach_mark(&finding->scan.graph, &finding->mark);
	if (r == 0)
		r = book_check(finding->watch, &finding->scan.graph, &finding->mark);
	if (r == 0)
		r = judge_scan(finding);
	if (r == 0)
		take_candidates(finding);
	return r;
}

static int take_scan(struct finding *finding, struct dhat_error *err)
{
	int r = say_scan(finding);

	quiet_run(finding->quiet, forget_but_table, finding);
	if (r == 0)
		r = look_once(finding, err);
	return r ? r : quiet_run(finding->quiet, follow_pointers, finding);
}

/* One address was asked about, and the first scan has answered. */
static bool is_answered(const struct finding *finding)
{
	const struct reach_graph *graph = &finding->scan.graph;
	uint64_t addr = finding->asking->why;
	size_t at = addr ? reach_find_below(graph->blocks, graph->count, addr) : graph->count;

	return addr && (at == graph->count ||
			addr - graph->blocks[at].addr >= graph->blocks[at].size_bytes ||
			reach_level_of(&finding->mark, at) != REACH_UNREACHED);
}

/* What is refused anyway needs no further scan. */
static bool is_done(const struct finding *finding)
{
	uint32_t scans = finding->holds->scans;
	uint64_t since = clock_now_ns(CLOCK_MONOTONIC) - finding->holds->first_scan_ns;

	if (!scans)
		return false;
	if (!finding->candidates || finding->holds->refusals || is_answered(finding) ||
	    scans >= HOLDS_MAX_SCANS || since > HOLDS_MAX_NS)
		return true;
	return scans >= least_scans(finding) && !finding->last_dropped && !is_unsettled(finding);
}

/* From the beginning of the last scan on; a long one needs no pause. */
static int pause_between(struct finding *finding)
{
	const struct timespec piece = { .tv_nsec = 50000000 };

	while (clock_now_ns(CLOCK_MONOTONIC) < finding->scan.end_ns + HOLDS_PAUSE_NS) {
		if (finding->asking->stop && atomic_load(finding->asking->stop))
			return -ECANCELED;
		nanosleep(&piece, NULL);
	}
	return 0;
}

/* What is from before the attach holds blocks, too. A list that does not end is not waited for. */
static int wait_for_inventory(struct finding *finding)
{
	const struct timespec piece = { .tv_nsec = 20000000 };
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + HOLDS_MAX_NS;
	int r = 0;

	if (target_is_taking_inventory(finding->asking->target))
		r = say(finding, "waiting for the list of blocks from before the attach");
	while (r == 0 && target_is_taking_inventory(finding->asking->target) &&
	       clock_now_ns(CLOCK_MONOTONIC) < end_ns) {
		if (finding->asking->stop && atomic_load(finding->asking->stop))
			r = -ECANCELED;
		nanosleep(&piece, NULL);
	}
	return r;
}

static int scan_until_settled(struct finding *finding, struct dhat_error *err)
{
	int r = wait_for_inventory(finding);

	while (r == 0 && !is_done(finding)) {
		if (finding->holds->scans)
			r = pause_between(finding);
		if (r == 0)
			r = take_scan(finding, err);
	}
	return r;
}

/* ---- the answer ----------------------------------------------------------------------------- */

/* Only glibc's blocks from before the attach can be listed. */
static bool knows_before(const struct target_copy *copy)
{
	if (copy->skips_before)
		return false;
	for (size_t i = 0; i < copy->probed.allocator_count; i++)
		if (!copy->probed.allocators[i].is_glibc && !copy->from_start)
			return false;
	return true;
}

/* All sums are of what was born since. */
static void leave_out_older(struct finding *finding)
{
	struct scan_once *scan = &finding->scan;

	for (size_t i = 0; i < scan->block_count; i++)
		if (scan->blocks[i].birth_ns < finding->holds->since_ns)
			scan->blocks[i].flags |= REACH_BLOCK_UNASKED;
}

struct answering {
	struct finding *finding;
	struct look_closer_at at;
	struct losses losses;
	struct details details;
};

static int name_and_follow(void *answering)
{
	struct finding *finding = ((struct answering *)answering)->finding;
	const struct holds_asking *asking = finding->asking;
	int r;

	reach_graph_forget_names(&finding->scan.graph);
	reach_mark_deinit(&finding->mark);
	leave_out_older(finding);
	r = root_names_give(&finding->scan, &finding->copy->identity, knows_before(finding->copy),
			    asking->symbolizer);
	if (r)
		return r;
	return asking->why ? reach_mark_ways(&finding->scan.graph, &finding->mark)
			   : reach_mark(&finding->scan.graph, &finding->mark);
}

/* What is no more than pleasant to know is left out where it cannot be had. */
static int summarise(void *answering_)
{
	struct answering *answering = answering_;
	struct finding *finding = answering->finding;
	const struct reach_graph *graph = &finding->scan.graph;
	const struct holds_asking *asking = finding->asking;
	bool has_details = false;
	int r = losses_find(graph, &finding->mark, finding->scan.blocks, !finding->holds->refusals,
			    finding->watch, &answering->losses);

	if (r == 0) {
		r = details_find(&finding->scan, &finding->mark, &answering->losses,
				 &finding->copy->identity, &answering->at, asking->symbolizer,
				 &answering->details);
		has_details = r == 0;
		r = r == -ENOSPC ? r : 0;
	}
	return r ? r
		 : summary_make(graph, &finding->mark, &answering->losses, finding->watch,
				has_details ? &answering->details : NULL, finding->holds);
}

/* Looks into the table again. */
static int explain_address(struct answering *answering)
{
	struct finding *finding = answering->finding;
	const struct holds_asking *asking = finding->asking;
	const struct why_facts facts = {
		.scan = &finding->scan,
		.mark = &finding->mark,
		.identity = &finding->copy->identity,
		.target = asking->target,
		.at = &answering->at,
		.symbolizer = asking->symbolizer,
		.knows_before = knows_before(finding->copy),
	};

	return why_find(&facts, asking->why, &finding->holds->why);
}

static int find_answer(struct answering *answering)
{
	struct finding *finding = answering->finding;
	struct holds *holds = finding->holds;
	int r = quiet_run(finding->quiet, name_and_follow, answering);

	if (r == 0)
		r = judge_account(finding);
	if (r == 0 && !holds->refusals)
		r = judge_candidates(finding);
	if (r == 0)
		r = quiet_run(finding->quiet, summarise, answering);
	return r || !finding->asking->why ? r : explain_address(answering);
}

static int answer(struct finding *finding)
{
	const struct holds_asking *asking = finding->asking;
	struct answering answering = { .finding = finding,
				       .at = { finding->copy->identity.pid, asking->worker,
					       asking->stop, asking->is_still } };
	struct holds *holds = finding->holds;
	int r = say(finding, "naming what holds blocks");

	if (r == 0)
		r = find_answer(&answering);
	losses_deinit(&answering.losses);
	details_deinit(&answering.details);
	if (r)
		return r;
	holds->took_ns = clock_now_ns(CLOCK_MONOTONIC) - holds->first_scan_ns;
	holds->last_scan_ns = finding->scan.end_ns - finding->scan.begin_ns;
	holds->end_ns = finding->scan.end_ns;
	holds->read_bytes = finding->scan.graph.found.read_bytes;
	holds->withdrawn = book_all_withdrawn(finding->watch);
	return holds->refusals ? 0 : book_say(finding->watch, &finding->scan.graph);
}

static int find_mark(struct finding *finding, struct dhat_error *err)
{
	const struct moments *moments = finding->copy->moments;
	const char *since = finding->asking->since;

	if (!since || !*since)
		return 0;
	for (uint32_t i = 0; moments && i < moments->count; i++)
		if (!strcmp(moments->list[i].name, since))
			finding->holds->since_ns = moments->times_ns[i];
	if (finding->holds->since_ns) {
		finding->holds->since = strdup(since);
		return finding->holds->since ? 0 : -ENOMEM;
	}
	return dhat_error_set(err, ENOENT, DHAT_EXIT_USAGE,
			      "process %d has no mark %s (`dhatctl mark' lists them, `dhatctl mark "
			      "NAME' makes one)",
			      (int)finding->copy->identity.pid, since);
}

/* Of a block: in the table, its mark, how many pointers stand in it, and one that holds it. What
 * has no room for that is not begun. */
#define LEAST_BYTES (sizeof(struct reach_block) + 2 * sizeof(uint32_t) + 1)

static int find(struct finding *finding, struct dhat_error *err)
{
	pid_t pid = finding->copy->identity.pid;
	int r;

	if (finding->copy->state != TARGET_ATTACHED)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
				      "process %d is not watched any more: who holds its blocks is "
				      "asked while it is",
				      (int)pid);
	r = find_mark(finding, err);
	if (r)
		return r;
	r = holds_book_open(finding->asking->book, pid, finding->copy->observed_since_unix_ns,
			    &finding->watch);
	if (r == -EBUSY)
		return dhat_error_set(err, EBUSY, DHAT_EXIT_FAILED,
				      "somebody else is just looking at who holds the blocks of "
				      "process %d: ask again in a moment",
				      (int)pid);
	if (r == 0)
		r = room_foresee(&finding->room, finding->copy->totals.live_blocks * LEAST_BYTES);
	if (r == 0)
		r = scan_until_settled(finding, err);
	if (r == 0)
		r = answer(finding);
	if (r == -ECANCELED)
		return dhat_error_set(
			err, ECANCELED, DHAT_EXIT_FAILED,
			"nobody waits any more for who holds the blocks of process %d", (int)pid);
	if (r == -ENOSPC)
		r = budget_room_explain(&finding->room, err);
	if (r == -ENOMEM || r == -ENOSPC) /* where that is not said yet */
		return dhat_error_errno(err, -r, "cannot find who holds the blocks of process %d",
					(int)pid);
	return r;
}

int holds_find(const struct holds_asking *asking, struct holds **ret, struct dhat_error *err)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	_cleanup_(holds_unref_ptr) struct holds *holds = calloc(1, sizeof(*holds));
	struct finding finding = { .asking = asking, .holds = holds };
	int r = holds ? target_copy(asking->target, false, &copy, err) : -ENOMEM;

	if (holds)
		atomic_init(&holds->references, 1);
	finding.copy = copy;
	budget_room_init(&finding.room, asking->target);
	if (r == 0 && copy->sample.bytes)
		r = dhat_error_set(err, ENOTSUP, DHAT_EXIT_INEXACT,
				   "who holds the live blocks of process %d cannot be told: all of "
				   "them are needed, and it is watched by a sample (without "
				   "--sample they are known)",
				   (int)copy->identity.pid);
	if (r == 0 && !asking->with_stop && !asking->is_still)
		r = quiet_new(&finding.quiet);
	if (r == 0)
		r = find(&finding, err);
	quiet_run(finding.quiet, forget_scan, &finding);
	quiet_free(finding.quiet);
	if (holds)
		room_return_all(&holds->share);
	if (finding.watch)
		/* what is of a mark, or of one block, is for who asked for that */
		holds_book_close(asking->book, finding.watch,
				 r || holds->since || holds->why ? NULL : holds);
	if (r)
		return r;
	*ret = take_ptr(holds);
	return 0;
}
