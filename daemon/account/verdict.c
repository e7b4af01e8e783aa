#include "verdict.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector.h"
#include "partial.h"
#include "proto/base/cleanup.h"
#include "proto/base/texts.h"
#include "proto/base/units.h"
#include "proto/profile/estimate.h"

/* A reason reads "<count> <noun>[s] <reason>". Losses have both. */
struct row {
	const char *name, *meaning, *noun, *reason;
};

#define RING " because the ring was full (a larger --ring-size helps)"

static const struct row rows[] = {
	[DHAT_CTR_ALLOCS] = { "allocs", "allocations recorded" },
	[DHAT_CTR_FREES] = { "frees", "frees recorded" },
	[DHAT_CTR_REALLOCS] = { "reallocs", "reallocations recorded" },
	[DHAT_CTR_FREE_NULL] = { "free_null", "calls of free(NULL)" },
	[DHAT_CTR_FAILED] = { "failed", "allocations that failed in the target" },
	[DHAT_CTR_NESTED] = { "nested", "calls of one allocator function from inside another: not "
					"counted twice" },
	[DHAT_CTR_ABANDONED] = { "abandoned", "allocator calls whose return was never seen",
				 "allocator call",
				 "never returned (longjmp, an exception, or a "
				 "missed return): their blocks are missing" },
	[DHAT_CTR_UNPAIRED] = { "unpaired", "returns whose entry was before the attach",
				"allocation",
				"returned without their call having been seen: their "
				"blocks are missing" },
	[DHAT_CTR_FOREIGN] = { "foreign", "probe hits by other processes: not counted" },
	[DHAT_CTR_NO_STATE] = { "no_state", "calls lost for want of per-thread state",
				"allocator call",
				"lost for want of per-thread state: totals, live "
				"bytes and peaks lack them" },
	[DHAT_CTR_SHED_ALLOC] = { "shed_allocs", "allocations given up to leave room for frees",
				  "allocation",
				  "given up because the ring was nearly full (a "
				  "larger --ring-size helps): totals, live bytes "
				  "and peaks are too low" },
	[DHAT_CTR_DROP_ALLOC] = { "dropped_allocs", "allocations lost: ring full", "allocation",
				  "lost" RING ": totals, live bytes and peaks are too low" },
	[DHAT_CTR_DROP_FREE] = { "dropped_frees", "frees lost: ring full", "free",
				 "lost" RING ": so many blocks may be shown live that are not" },
	[DHAT_CTR_DROP_REALLOC] = { "dropped_reallocs", "realloc records lost: ring full",
				    "realloc", "lost" RING ": totals and live bytes lack them" },
	[DHAT_CTR_DROP_STACK] = { "dropped_stacks", "stacks lost: ring full", "stack",
				  "lost" RING ": the bytes are counted, at [stack lost]" },
	[DHAT_CTR_DROP_LIFE] = { "dropped_life",
				 "map, change, exec and fork records lost: ring full",
				 "map, change, exec or fork event",
				 "lost" RING ": frames may be named by the wrong file" },
	[DHAT_CTR_DROP_NAME] = { "dropped_names", "threads' names lost: ring full" },
	[DHAT_CTR_UNKNOWN_CALLS] = { "unknown_calls",
				     "calls of allocator functions that cannot be followed", "call",
				     "of allocator functions that cannot be followed (status lists "
				     "them): what these handed out or took is missing" },
	[DHAT_CTR_ARENA_RESETS] = { "arena_resets", "arenas reset or destroyed by mallctl", "reset",
				    "of an arena by jemalloc's mallctl (or its destruction): "
				    "blocks "
				    "in it are shown live that are no more" },
	[DHAT_CTR_UNSIZED] = { "unsized", "strings handed out whose size could not be read",
			       "string",
			       "handed out whose size could not be read: counted as 1 byte" },
	[DHAT_CTR_UNSAMPLED_ALLOCS] = { "unsampled_allocs",
					"allocations that were not drawn for the sample" },
	[DHAT_CTR_UNSAMPLED_FREES] = { "unsampled_frees",
				       "frees of blocks that are not in the sample" },
	[DHAT_CTR_SAMPLE_FULL] = { "sample_full",
				   "sampled blocks given up: there were 262,144 live ones",
				   "sampled block",
				   "given up because there were 262,144 live ones (a larger "
				   "--sample helps): totals, live bytes and peaks are too low" },
	[DHAT_CTR_STACKS] = { "stacks", "different stacks recorded" },
	[DHAT_CTR_STACKS_FULL] = { "stacks_resent",
				   "stacks sent again: the kernel's table of known ones was full" },
	[DHAT_CTR_USED_FP] = { "stacks_by_fp", "stacks with a step by frame pointer, for want of "
					       "an unwind rule" },
	[DHAT_CTR_SHORTENED] = { "stacks_shortened", "stacks of more than 127 frames: those in the "
						     "middle are left out" },
	[DHAT_CTR_STOP_FIRST +
		DHAT_STOP_COMPLETE] = { "stop_complete", "stacks that reached the thread's start" },
	[DHAT_CTR_STOP_FIRST + DHAT_STOP_NO_TABLE] = { "stop_no_table",
						       "stacks that end in a file without (or not "
						       "yet with) unwind table" },
	[DHAT_CTR_STOP_FIRST +
		DHAT_STOP_NO_RULE] = { "stop_no_rule",
				       "stacks that end where the unwind table has no "
				       "usable rule" },
	[DHAT_CTR_STOP_FIRST + DHAT_STOP_BAD_MEMORY] = { "stop_bad_memory",
							 "stacks that end at unreadable or "
							 "inconsistent memory" },
	[DHAT_CTR_STOP_FIRST + DHAT_STOP_TOO_DEEP] = { "stop_too_deep",
						       "stacks of more than 2,048 frames: their "
						       "outer ones were not looked for" },
	[DHAT_CTR_STOP_FIRST + DHAT_STOP_JIT] = { "stop_jit", "stacks that end in generated code" },
	[DHAT_CTR_STOP_FIRST + DHAT_STOP_NO_SCRATCH] = { "stop_no_scratch",
							 "stacks of one frame, for want of working "
							 "memory in the kernel" },
	[DHAT_CTR_STOP_FIRST +
		DHAT_STOP_NO_CALLER] = { "stop_no_caller",
					 "stacks that end at a function that nobody called, where "
					 "a coroutine may have begun" },
	[COUNTER_MISSED_RUNS] = { "missed_runs", "probe hits that the kernel did not hand over",
				  "probe hit",
				  "not handed over by the kernel: calls of unknown "
				  "kind are missing" },
	[COUNTER_LATE_ALLOCATORS] = { "late_allocators",
				      "allocators that were in use before they were probed",
				      "allocator",
				      "mapped and perhaps used before the probes were "
				      "there: its first blocks are missing" },
	[COUNTER_UNSEEN_FUNCTIONS] = { "unseen_functions",
				       "functions of allocators that could not be probed",
				       "allocator function",
				       "that could not be probed (status lists the probes): their "
				       "calls are missing" },
	[COUNTER_ANCHOR_GAPS] = { "anchor_gaps", "threads that held the probes and ended", "thread",
				  "ended that held the probes (kernels before 6.6, --link perf, or "
				  "another tracer let go of the same places just then): "
				  "calls until they hung on another one are missing" },
	[COUNTER_TAKEN_PROBES] = { "taken_probes",
				   "probes that somebody took out of the target's code", "probe",
				   "taken out of the target's code, by a debugger most likely (the "
				   "notes say when): calls there are missing" },
	[COUNTER_COPIED_PROBES] = { "copied_probes",
				    "probed places that the target copied, with its code, "
				    "elsewhere",
				    "probed place",
				    "copied by the target, with its code, to other memory: calls "
				    "of "
				    "the copy are missing" },
	[COUNTER_MALFORMED] = { "malformed", "records that are not as they should be", "record",
				"malformed and left out: this is a fault of dhatd" },
	[COUNTER_OUT_OF_MEMORY] = { "out_of_memory", "events lost because dhatd had no memory",
				    "event",
				    "lost because dhatd had no memory: totals, live bytes "
				    "and peaks lack them" },
	[COUNTER_SEEN_TWICE] = { "seen_twice",
				 "addresses handed out again without a free in "
				 "between",
				 "free",
				 "noticed only when the address was handed out again: until "
				 "then live bytes and peaks were too high" },
	[COUNTER_EXISTING_REPLACED] = { "existing_replaced", "blocks from before the attach that "
							     "were found in the middle "
							     "of being allocated or freed" },
	[COUNTER_UNFINISHED_REALLOCS] = { "unfinished_reallocs", "reallocs whose result is unknown",
					  "realloc",
					  "of unknown result: their blocks are taken for "
					  "freed, and live bytes may be too low" },
	[COUNTER_IMPOSSIBLE_SIZES] = { "impossible_sizes",
				       "sizes that no block can have: counted as 1 byte", "block",
				       "of a size that none can have, counted as 1 byte: is the "
				       "size another argument of a custom allocator (--alloc)?" },
	[COUNTER_BLOCKS_REFUSED] = { "blocks_refused", "blocks not tracked: block table full",
				     "block",
				     "not tracked because the block table was full (a "
				     "larger --max-memory helps): live bytes and peaks "
				     "are too low, totals are right" },
	[COUNTER_UNKNOWN_FREES] = { "unknown_frees",
				    "frees of blocks that were never seen "
				    "allocated",
				    "free",
				    "of blocks that were never seen allocated: a function "
				    "that allocates is not probed, or its calls were "
				    "lost" },
	[COUNTER_THREAD_CACHE_FREES] = { "thread_cache_frees",
					 "frees by which ending threads gave their cache back" },
	[COUNTER_STACKS_REFUSED] = { "stacks_refused", "stacks not kept: stack table full", "stack",
				     "not kept because the stack table was full (a larger "
				     "--max-memory helps): the bytes are "
				     "counted, at [stack lost]" },
	[COUNTER_LOST_STACK_BLOCKS] = { "lost_stack_blocks", "blocks whose stack was lost", "block",
					"of unknown origin, shown at [stack lost]: their bytes are "
					"right" },
	[COUNTER_MAPPINGS_REFUSED] = { "mappings_refused", "mappings beyond dhatd's bounds: their "
							   "frames have no name" },
	[COUNTER_AFTER_EXEC] = { "after_exec", "records of the program that replaced this one: "
					       "not counted here" },
	[COUNTER_FIRST_STACKS] = { "first_stacks", "stacks of the first second, in which unwind "
						   "tables may still be being built" },
	[COUNTER_FIRST_WHOLE] = { "first_whole", "those of them that are whole" },
};
_Static_assert(ARRAY_SIZE(rows) == COUNTER_COUNT, "a row for every counter");

/* Of unknown frees after an attach. */
static const char keep_coming[] =
	"of blocks that were never seen allocated, and they keep coming, more than allocations: a "
	"function that allocates is not probed, or a large stock from before is being given up";

/* Whether a count is a loss may depend on how the numbers came about. */
static bool is_loss(unsigned i, const struct verdict_facts *facts)
{
	if (i == COUNTER_UNKNOWN_FREES)
		return facts->from_start || facts->frees_keep_coming;
	if (i == DHAT_CTR_UNPAIRED)
		return facts->from_start;
	return rows[i].reason != NULL;
}

struct counter counters_at(unsigned i, const struct verdict_facts *facts)
{
	return (struct counter){
		.name = rows[i].name,
		.meaning = rows[i].meaning,
		.is_loss = is_loss(i, facts),
	};
}

void counters_fill(uint64_t values[COUNTER_COUNT], const struct collector *collector)
{
	struct heap_totals totals;

	heap_totals(collector->heap, &totals);
	values[COUNTER_THREAD_CACHE_FREES] =
		collector->thread_cache_frees + collector_hold_back(collector, &totals);
	values[DHAT_CTR_FREES] -= collector->nested_frees;
	values[DHAT_CTR_NESTED] += collector->nested_frees;
	values[COUNTER_MALFORMED] = collector->malformed;
	values[COUNTER_OUT_OF_MEMORY] = collector->out_of_memory;
	values[COUNTER_SEEN_TWICE] = totals.seen_twice;
	values[COUNTER_EXISTING_REPLACED] = totals.existing_replaced;
	values[COUNTER_UNFINISHED_REALLOCS] = totals.unfinished_reallocs;
	values[COUNTER_IMPOSSIBLE_SIZES] = totals.impossible_sizes;
	values[COUNTER_BLOCKS_REFUSED] = totals.blocks_refused + collector->anon.refused;
	values[COUNTER_UNKNOWN_FREES] = totals.unknown_frees;
	values[COUNTER_STACKS_REFUSED] = stacks_refused(collector->stacks);
	values[COUNTER_LOST_STACK_BLOCKS] =
		heap_point_total_blocks(collector->heap, STACK_POINT_LOST);
	values[COUNTER_MAPPINGS_REFUSED] = collector->mappings_refused;
	values[COUNTER_AFTER_EXEC] = collector->ignored;
}

/* ---- the verdict -------------------------------------------------------------------------- */

void verdict_free(struct verdict *verdict)
{
	if (!verdict)
		return;
	texts_free(verdict->reasons);
	texts_free(verdict->notes);
	free(verdict);
}
DEFINE_CLEANUP_PTR(struct verdict *, verdict_free)

/* Lists have room for a line of every counter, and a few more. */
static size_t max_lines(const struct verdict_facts *facts)
{
	return COUNTER_COUNT + 8 + (facts->partials ? facts->partials->count : 0);
}

static int __attribute__((format(printf, 2, 3))) say(char **list, const char *format, ...)
{
	va_list args;
	int length;

	while (*list)
		list++;
	va_start(args, format);
	length = vasprintf(list, format, args);
	va_end(args);
	if (length >= 0)
		return 0;
	*list = NULL;
	return -ENOMEM;
}

static int say_losses(char **list, const uint64_t values[COUNTER_COUNT],
		      const struct verdict_facts *facts)
{
	char count[DHAT_UNIT_CHARS];
	int err = 0;

	for (unsigned i = 0; i < COUNTER_COUNT && !err; i++) {
		if (!values[i] || !is_loss(i, facts))
			continue;
		err = say(list, "%s %s%s %s", dhat_format_count(values[i], count), rows[i].noun,
			  values[i] == 1 ? "" : "s",
			  i == COUNTER_UNKNOWN_FREES && !facts->from_start ? keep_coming
									   : rows[i].reason);
	}
	return err;
}

/* Where nothing was lost, what *is* exact comes first. */
static int say_partials(char **list, const struct verdict_facts *facts)
{
	size_t count = facts->partials ? facts->partials->count : 0;
	int err = 0;

	if (count && !list[0] && facts->probed && *facts->probed)
		err = say(list, "%s for %s, which is not all of this process",
			  facts->sample_bytes ? "nothing was lost" : "exact", facts->probed);
	for (size_t i = 0; i < count && !err; i++)
		err = say(list, "%s", facts->partials->list[i].text);
	if (facts->is_listing && !err)
		err = say(list, "blocks from before the attach are still being listed: live bytes "
				"do not have all of them yet");
	return err;
}

/* ", 8 of them in the first 1.0 s, in which unwind tables are built: 60.0 % were whole then, 99.8 %
 * since" */
static void describe_beginning(const uint64_t values[COUNTER_COUNT],
			       const struct verdict_facts *facts, uint64_t all, uint64_t incomplete,
			       char *ret, size_t size)
{
	uint64_t first = values[COUNTER_FIRST_STACKS], whole = values[COUNTER_FIRST_WHOLE];
	char count[DHAT_UNIT_CHARS];

	*ret = '\0';
	if (!facts->first_ns || first > all || whole > first || first - whole > incomplete ||
	    first == whole)
		return;
	snprintf(ret, size,
		 ", %s of them in the first %.1f s, in which unwind tables are built: %.1f%% were "
		 "whole then",
		 dhat_format_count(first - whole, count), facts->first_ns / 1e9,
		 100.0 * whole / first);
	if (all > first)
		snprintf(ret + strlen(ret), size - strlen(ret), ", %.1f%% since",
			 100.0 - 100.0 * (incomplete - (first - whole)) / (all - first));
}

static int say_incomplete_stacks(char **list, const uint64_t values[COUNTER_COUNT],
				 const struct verdict_facts *facts)
{
	static const char *const why[DHAT_STOP_COUNT] = {
		[DHAT_STOP_NO_TABLE] = "in files without an unwind table",
		[DHAT_STOP_NO_RULE] = "at places without an unwind rule",
		[DHAT_STOP_BAD_MEMORY] = "at unreadable memory",
		[DHAT_STOP_TOO_DEEP] = "after 2,048 frames",
		[DHAT_STOP_JIT] = "in generated code",
		[DHAT_STOP_NO_SCRATCH] = "after one frame, for want of kernel memory",
		[DHAT_STOP_NO_CALLER] = "at a function that nobody called",
	};
	uint64_t all = values[DHAT_CTR_STOP_FIRST], incomplete = 0;
	char text[512] = "", beginning[160], count[DHAT_UNIT_CHARS], of[DHAT_UNIT_CHARS];

	for (int stop = 1; stop < DHAT_STOP_COUNT; stop++) {
		uint64_t value = values[DHAT_CTR_STOP_FIRST + stop];
		size_t used = strlen(text);

		if (!value)
			continue;
		incomplete += value;
		snprintf(text + used, sizeof(text) - used, "%s%s %s", used ? ", " : "",
			 dhat_format_count(value, count), why[stop]);
	}
	if (!incomplete)
		return 0;
	describe_beginning(values, facts, all + incomplete, incomplete, beginning,
			   sizeof(beginning));
	return say(list,
		   "%s of %s stacks end early (%s)%s; bytes and blocks are right all the same",
		   dhat_format_count(incomplete, count), dhat_format_count(all + incomplete, of),
		   text, beginning);
}

static int say_notes(char **list, const uint64_t values[COUNTER_COUNT],
		     const struct verdict_facts *facts)
{
	uint64_t before = values[COUNTER_UNKNOWN_FREES];
	char count[DHAT_UNIT_CHARS], bytes[DHAT_UNIT_CHARS];
	int err = say_incomplete_stacks(list, values, facts);

	if (!err && before && !is_loss(COUNTER_UNKNOWN_FREES, facts))
		err = say(list,
			  "%s block%s from before the attach (%s, as far as the allocator told) "
			  "%s freed since; figures are from the attach on",
			  dhat_format_count(before, count), before == 1 ? "" : "s",
			  dhat_format_size(facts->unknown_bytes, bytes),
			  before == 1 ? "was" : "were");
	if (!err && values[COUNTER_MAPPINGS_REFUSED])
		err = say(list,
			  "%s mappings were beyond dhatd's bounds: frames in them have no name",
			  dhat_format_count(values[COUNTER_MAPPINGS_REFUSED], count));
	if (!err && values[COUNTER_AFTER_EXEC])
		err = say(list,
			  "the target has replaced its program since (exec): %s records of the new "
			  "one are not counted here; --follow-exec goes on with it",
			  dhat_format_count(values[COUNTER_AFTER_EXEC], count));
	return err;
}

static int say_sampled(char **list, const struct verdict_facts *facts, bool is_all)
{
	char size[DHAT_UNIT_CHARS], unseen[DHAT_UNIT_CHARS], duration[DHAT_UNIT_CHARS];
	time_t since = (time_t)(facts->sampled_since_unix_ns / 1000000000);
	char when[sizeof("23:59:59")] = "";
	struct tm tm;

	if (since && gmtime_r(&since, &tm))
		strftime(when, sizeof(when), "%H:%M:%S", &tm);
	if (since)
		return say(
			list,
			"figures were exact until %s UTC (for %s), and are estimates since: 1 "
			"block per %s was recorded%s; beside what is shown a stack may have been "
			"given up to %s since then",
			when, dhat_format_duration(facts->exact_ns, duration),
			dhat_format_size(facts->sample_bytes, size),
			is_all ? ", nothing was lost" : "",
			dhat_format_size(dhat_estimate_unseen(facts->sample_bytes), unseen));
	return say(list,
		   "figures are estimates: 1 block per %s was recorded%s; a stack that is not "
		   "shown may hold up to %s",
		   dhat_format_size(facts->sample_bytes, size), is_all ? ", nothing was lost" : "",
		   dhat_format_size(dhat_estimate_unseen(facts->sample_bytes), unseen));
}

int verdict_new(const uint64_t values[COUNTER_COUNT], const struct verdict_facts *facts,
		struct verdict **ret)
{
	_cleanup_(verdict_free_ptr) struct verdict *verdict = calloc(1, sizeof(*verdict));
	int err;

	if (!verdict)
		return -ENOMEM;
	verdict->reasons = calloc(max_lines(facts), sizeof(*verdict->reasons));
	verdict->notes = calloc(max_lines(facts), sizeof(*verdict->notes));
	if (!verdict->reasons || !verdict->notes)
		return -ENOMEM;
	err = say_losses(verdict->reasons, values, facts);
	if (!err && verdict->reasons[0])
		verdict->word = DHAT_INEXACT;
	else if (!err && (facts->is_listing || (facts->partials && facts->partials->count)))
		verdict->word = DHAT_PARTIAL;
	else if (!err && facts->sample_bytes)
		verdict->word = DHAT_SAMPLED;
	if (!err)
		err = say_partials(verdict->reasons, facts);
	if (!err && facts->sample_bytes)
		err = say_sampled(verdict->reasons, facts, verdict->word == DHAT_SAMPLED);
	if (!err)
		err = say_notes(verdict->notes, values, facts);
	if (err)
		return err;
	*ret = take_ptr(verdict);
	return 0;
}
