#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/kernel/features.h"
#include "daemon/object/sites/custom.h"
#include "daemon/proc/breakpoints.h"
#include "daemon/proc/file.h"
#include "daemon/proc/load.h"
#include "daemon/proc/mapfile.h"
#include "daemon/proc/procmaps.h"
#include "daemon/source/price.h"
#include "daemon/source/uprobes.h"
#include "daemon/target/identity.h"
#include "daemon/target/preflight.h"
#include "daemon/target/runtime.h"
#include "proto/base/cleanup.h"

/* Sampled for a second. Then its calls are counted, if they are not too many for that; else, where
 * its allocator was hardly met, it is sampled some more, and the closer, the less the process does:
 * each sample interrupts it. */
#define FIRST_NS 1000000000ull
#define FIRST_SAMPLE_NS 250000
#define LONGER_NS 4000000000ull
#define LONGER_SAMPLE_NS 100000 /* of one that keeps a core busy … */
#define LEAST_SAMPLE_NS 25000	/* … and of one that does next to nothing */
#define COUNT_NS 1000000000ull
#define UNIT_BYTES 16384 /* of code, of one compilation unit before its first function */

DEFINE_CLEANUP_PTR(struct survey *, survey_free)

struct planner {
	pid_t pid;
	const struct target_options *options;
	struct worker *worker;
	struct plan *plan;
	struct survey *executable;
	struct load_range *ranges;
	size_t range_count, site_count;
	/* where malloc and its like begin in memory; more than LOAD_PLACES: they cannot be counted
	 */
	uint64_t places[LOAD_PLACES];
	uint8_t place_roles[LOAD_PLACES];
	size_t place_count;
	enum uprobe_kind kind;
	bool avoids_return_probes;
	struct price price; /* of what was found */
};

static void planner_deinit(struct planner *p)
{
	survey_free(p->executable);
	free(p->ranges);
}

void plan_deinit(struct plan *plan)
{
	preflight_deinit(&plan->preflight);
	identity_deinit(&plan->identity);
	probed_deinit(&plan->probed);
	*plan = (struct plan){ 0 };
}

/* ---- objects ------------------------------------------------------------------------------ */

static bool is_code_of_file(const struct procmaps_entry *e)
{
	return e->is_executable && e->inode && e->path[0] == '/';
}

static int add_range(struct planner *p, uint64_t start, uint64_t end)
{
	struct load_range *grown = reallocarray(p->ranges, p->range_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	p->ranges = grown;
	grown[p->range_count++] = (struct load_range){ start, end };
	return 0;
}

/* Where the allocator's code is. Of a library that is an allocator all of it; of a libc or a
 * program what lies around the functions found: a compilation unit's functions stay together, and
 * its static ones come before those that call them. */
static int add_ranges(struct planner *p, const struct procmaps_entry *e, bool is_all,
		      const struct sites *sites)
{
	uint64_t first = UINT64_MAX, last = 0, end;
	size_t i;

	for (i = 0; i < sites->count; i++) {
		end = sites->list[i].function_offset + sites->list[i].function_bytes;
		if (sites->list[i].function_offset < first)
			first = sites->list[i].function_offset;
		if (end > last)
			last = end;
	}
	first = first > UNIT_BYTES ? first - UNIT_BYTES : 0;
	if (is_all || first < e->file_offset)
		first = e->file_offset;
	if (is_all || last > e->file_offset + (e->end - e->start))
		last = e->file_offset + (e->end - e->start);
	if (first >= last)
		return 0;
	return add_range(p, e->start + (first - e->file_offset),
			 e->start + (last - e->file_offset));
}

/* What an attach would do to them, but for the probes. */
static int use_sites(struct planner *p, const char *path, const struct survey *survey,
		     const struct sites *sites)
{
	struct plan *plan = p->plan;
	int r;

	if (sites->count == 0)
		return 0;
	r = probed_add(&plan->probed, sites, path, p->kind);
	for (size_t i = 0; i < sites->count; i++)
		p->site_count += !sites->list[i].is_refused;
	if (r == 0)
		r = preflight_copier(&plan->preflight, &survey->desc, path, p->pid, false);
	return r ? r : preflight_sites(&plan->preflight, sites, path);
}

/* malloc, calloc, realloc and free, under any prefix: what is called often. */
static bool is_frequent(const struct site *site)
{
	static const struct {
		uint8_t role;
		const char *ending;
	} frequent[] = { { DHAT_ROLE_MALLOC, "malloc" },
			 { DHAT_ROLE_CALLOC, "calloc" },
			 { DHAT_ROLE_REALLOC, "realloc" },
			 { DHAT_ROLE_FREE, "free" } };
	size_t length = strlen(site->function);

	for (size_t i = 0; i < ARRAY_SIZE(frequent); i++) {
		size_t ending = strlen(frequent[i].ending);

		if (site->role == frequent[i].role && length >= ending &&
		    !strcmp(site->function + length - ending, frequent[i].ending))
			return true;
	}
	return false;
}

static void add_places(struct planner *p, const struct procmaps_entry *e, const struct sites *sites)
{
	for (size_t i = 0; i < sites->count; i++) {
		const struct site *site = &sites->list[i];

		if (!is_frequent(site) || site->is_refused ||
		    site->function_offset < e->file_offset ||
		    site->function_offset >= e->file_offset + (e->end - e->start))
			continue;
		if (p->place_count < LOAD_PLACES) {
			p->places[p->place_count] =
				e->start + (site->function_offset - e->file_offset);
			p->place_roles[p->place_count] = site->role;
		}
		p->place_count++;
	}
}

static int watch_sites(struct planner *p, const struct procmaps *maps, size_t entry,
		       const struct object_desc *desc, const struct sites *sites)
{
	const struct procmaps_entry *e = &maps->entries[entry];
	bool is_all = !desc->is_program && !desc->libc_version[0];
	int r = 0;

	for (size_t i = entry; i < maps->count && sites->count > 0 && r == 0; i++)
		if (is_code_of_file(&maps->entries[i]) &&
		    procmaps_is_same_file(&maps->entries[i], e)) {
			r = add_ranges(p, &maps->entries[i], is_all, sites);
			add_places(p, &maps->entries[i], sites);
		}
	return r;
}

static int use_survey(struct planner *p, const struct procmaps *maps, size_t entry,
		      const struct survey *survey, struct dhat_error *err)
{
	const char *path = maps->entries[entry].path;
	int r;

	if (survey->customs_error)
		return dhat_error_set(err, survey->customs_error, survey->customs_why.code, "%s",
				      survey->customs_why.message);
	r = use_sites(p, path, survey, &survey->allocators);
	if (r == 0)
		r = use_sites(p, path, survey, &survey->mappers);
	if (r == 0)
		r = use_sites(p, path, survey, &survey->customs);
	if (r == 0)
		r = watch_sites(p, maps, entry, &survey->desc, &survey->allocators);
	if (r == 0)
		r = watch_sites(p, maps, entry, &survey->desc, &survey->customs);
	return r ? r
		 : preflight_hidden(
			   &p->plan->preflight, &survey->desc, path,
			   runtime_uncounted(p->pid, survey->hidden, p->options->anonymous_memory));
}

static int look_at_object(struct planner *p, const struct procmaps *maps, size_t entry,
			  struct dhat_error *err)
{
	const struct procmaps_entry *e = &maps->entries[entry];
	_cleanup_close_ int fd = mapfile_open(p->pid, e->start, e->end, e->path, e->inode);
	_cleanup_(survey_free_ptr) struct survey *survey = NULL;
	const struct survey_question question = {
		.path = e->path,
		.customs = p->options->custom,
		.use_exit_probes = p->avoids_return_probes,
		.may_execute = uprobes_may_execute(p->kind),
		.use_result_sites = uprobes_use_results(p->kind, p->options->sites),
		.wants_mappers = p->options->anonymous_memory,
	};
	struct dhat_error why = { 0 };
	int r;

	if (fd < 0)
		return preflight_add(
			&p->plan->preflight, "unreadable file",
			"%s cannot be opened: if it holds an allocator, that is not seen", e->path);
	if (worker_survey(p->worker, fd, &question, &survey, &why) < 0)
		return preflight_add(&p->plan->preflight, "unreadable file", "%s: %s", e->path,
				     why.message);
	r = use_survey(p, maps, entry, survey, err);
	if (!p->executable && identity_is_executable(&p->plan->identity, fd))
		p->executable = take_ptr(survey);
	return r;
}

static int look_at_objects(struct planner *p, struct dhat_error *err)
{
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	int r = procmaps_read(p->pid, &maps);
	size_t i, k;

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return preflight_block(&p->plan->preflight, "no process", -r,
				       dhat_exit_of_errno(-r), "/proc/%d/maps cannot be read: %s",
				       (int)p->pid, strerror(-r));
	for (i = 0; i < maps.count && r == 0; i++) {
		if (!is_code_of_file(&maps.entries[i]))
			continue;
		for (k = 0; k < i; k++)
			if (is_code_of_file(&maps.entries[k]) &&
			    procmaps_is_same_file(&maps.entries[k], &maps.entries[i]))
				break;
		if (k == i)
			r = look_at_object(p, &maps, i, err);
	}
	if (r == 0)
		r = preflight_copied(&p->plan->preflight, &maps);
	return r ? r
		 : preflight_executable(&p->plan->preflight,
					p->executable ? &p->executable->desc : NULL,
					p->plan->identity.executable, p->site_count);
}

/* ---- how it would be attached --------------------------------------------------------------- */

/* The best kind of link that works, tried on a child of ours. */
static int choose_links(struct planner *p)
{
	const char *forced = p->options->link;
	struct dhat_error why = { 0 };
	bool is_forced = forced && *forced;
	int r = -ENOTSUP;

	p->kind = is_forced ? uprobe_kind_of_name(forced) : features_first_kind();
	for (; p->kind < UPROBE_KINDS; p->kind++) {
		why = (struct dhat_error){ 0 };
		r = features_links(p->kind, &why);
		if (r == 0 || is_forced)
			break;
	}
	p->avoids_return_probes = p->options->no_return_probes;
	if (r < 0)
		return preflight_block(
			&p->plan->preflight, "no probes", ENOTSUP, DHAT_EXIT_UNSUPPORTED,
			"no uprobe could be placed on a process of our own: %s", why.message);
	if (!p->plan->preflight.has_seccomp || p->avoids_return_probes)
		return 0;
	p->avoids_return_probes = features_return_probes_kill(p->kind);
	return preflight_add(&p->plan->preflight, "seccomp",
			     p->avoids_return_probes
				     ? "return probes got a process of our own killed: exit probes "
				       "would be used instead"
				     : "return probes did a process of our own under the strictest "
				       "filter no harm");
}

/* ---- what it would cost --------------------------------------------------------------------- */

/* A target of ours already: the rate is known. */
static bool fill_known_rate(struct planner *p, struct targets *targets)
{
	struct target_copy *copy = NULL;
	struct target **list = NULL;
	size_t count = 0, i;
	bool is_known = false;

	if (!targets || targets_list(targets, &list, &count) < 0)
		return false;
	for (i = 0; i < count; i++) {
		if (target_pid(list[i]) == p->pid && target_state_of(list[i]) == TARGET_ATTACHED &&
		    target_copy(list[i], false, &copy, NULL) == 0) {
			p->plan->allocs_per_second = copy->allocs_per_second;
			p->plan->cost_percent = copy->cost_percent;
			snprintf(p->plan->cost_basis, sizeof(p->plan->cost_basis),
				 "counted: dhatd is attached to it already");
			target_copy_free(copy);
			is_known = true;
		}
		target_unref(list[i]);
	}
	free(list);
	return is_known;
}

/* So few calls that a breakpoint on each does no harm. -ERANGE: they are more; other errors: it
 * cannot be. */
static int count_rate(struct planner *p)
{
	struct load_count counted;
	uint64_t allocs = 0, frees = 0;
	struct price_rates rates;
	double seconds;
	int r = load_count(p->pid, p->places, p->place_count, COUNT_NS, &counted);

	if (r)
		return r;
	for (size_t i = 0; i < p->place_count; i++)
		*(p->place_roles[i] == DHAT_ROLE_FREE ? &frees : &allocs) += counted.hits[i];
	seconds = counted.wall_ns / 1e9;
	p->plan->allocs_per_second = allocs / seconds;
	rates = (struct price_rates){ .allocs = allocs / seconds, .frees = frees / seconds };
	p->plan->cost_percent = price_percent(&p->price, &rates);
	snprintf(p->plan->cost_basis, sizeof(p->plan->cost_basis),
		 "counted by the processor's breakpoints: %" PRIu64 " allocations and %" PRIu64
		 " frees in %.1f s; each costs %.0f ns more when dhatd counts it",
		 allocs, frees, seconds, price_mean_ns(&p->price));
	return 0;
}

static int measure(struct planner *p, struct load *ret, struct dhat_error *err)
{
	const struct load_wish wish = { .duration_ns = FIRST_NS, .sample_ns = FIRST_SAMPLE_NS };

	return load_measure(p->pid, p->ranges, p->range_count, &wish, ret, err);
}

/* Once more, as long and as closely as may be: of one that was hardly met in its allocator. */
static int measure_longer(struct planner *p, struct load *ret, struct dhat_error *err)
{
	struct load_wish wish = { .duration_ns = LONGER_NS, .sample_ns = LONGER_SAMPLE_NS };
	double share = (double)ret->cpu_ns / ret->wall_ns;

	if (share < 1)
		wish.sample_ns *= share;
	if (wish.sample_ns < LEAST_SAMPLE_NS)
		wish.sample_ns = LEAST_SAMPLE_NS;
	return load_measure(p->pid, p->ranges, p->range_count, &wish, ret, err);
}

static void tell_bound(struct planner *p, const struct load *load, double calls_at_most,
		       const char *a_call_takes, int call_ns)
{
	struct plan *plan = p->plan;

	plan->cost_at_most_percent = calls_at_most * price_mean_ns(&p->price) / 1e7;
	snprintf(plan->cost_basis, sizeof(plan->cost_basis),
		 "a bound: %" PRIu64 " of %" PRIu64
		 " samples of its CPU time in %.1f s were in its "
		 "allocator, %s %d ns; a counted one costs %.0f ns more",
		 load->inside, load->samples, load->wall_ns / 1e9, a_call_takes, call_ns,
		 price_mean_ns(&p->price));
}

/* Less than one hundredth of a core inside: the calls may be so rare that they find nothing in the
 * caches, and take a microsecond each (1,000 a second: 18 of 37,226 samples of 126 us in 4.7 s). */
#define RARE 100

static void estimate_rate(struct planner *p)
{
	struct load load = { 0 };
	struct dhat_error why = { 0 };
	struct plan *plan = p->plan;
	size_t size = sizeof(plan->cost_basis);
	double calls;
	int r, counted = -ENODATA;

	price_of(&plan->probed, features_trap_ns(p->kind), &p->price);
	if (p->options->sample_bytes) /* the few that are drawn beside */
		p->price.alloc_ns = p->price.unsampled_ns;
	r = measure(p, &load, &why);

	if (r == 0 && load.samples)
		counted = count_rate(p);
	if (counted == 0)
		return;
	if (r == 0 && load.samples && load.inside < LOAD_FEW)
		r = measure_longer(p, &load, &why);
	if (r < 0) {
		snprintf(plan->cost_basis, size, "not known: %s", why.message);
	} else if (load.samples == 0) {
		plan->allocs_per_second = plan->cost_percent = 0;
		snprintf(plan->cost_basis, size,
			 "the process did nothing while it was sampled for %.1f s",
			 load.wall_ns / 1e9);
	} else if (load.inside < LOAD_FEW) {
		tell_bound(p, &load, load_calls_at_most(&load),
			   "too few for a rate; a call takes at least", LOAD_FASTEST_CALL_NS);
	} else if (counted != -ERANGE && load.inside * load.sample_ns * RARE < load.wall_ns) {
		tell_bound(p, &load, load_calls_per_second(&load),
			   "where so rare a call may take many times", LOAD_CALL_NS);
	} else {
		calls = load_calls_per_second(&load);
		plan->allocs_per_second = calls / 2;
		plan->cost_percent = calls * price_mean_ns(&p->price) / 1e7;
		snprintf(plan->cost_basis, size,
			 "an order of magnitude: %" PRIu64 " of %" PRIu64
			 " samples of its CPU time in %.1f s were in its allocator, where a call "
			 "takes some %d ns; a counted one costs %.0f ns more",
			 load.inside, load.samples, load.wall_ns / 1e9, LOAD_CALL_NS,
			 price_mean_ns(&p->price));
	}
}

/* ---- the whole ---------------------------------------------------------------------------- */

static bool would_be_partial(const struct preflight *preflight)
{
	for (size_t i = 0; i < preflight->count; i++)
		if (preflight->hazards[i].is_partial)
			return true;
	return false;
}

/* What is linked in and has no names is found by what its code does in use, or not at all. */
static bool has_to_be_tried(const struct planner *p)
{
	const struct object_desc *desc = p->executable ? &p->executable->desc : NULL;

	return p->site_count == 0 && desc && desc->is_static && !desc->has_symtab &&
	       desc->entry_count > 0;
}

/* An attach tries for a moment only: of one that does nothing it is known what comes of that. */
static int look_for_use(struct planner *p)
{
	struct load load = { 0 };
	struct dhat_error why = { 0 };

	if (!has_to_be_tried(p) || measure(p, &load, &why) || load.samples)
		return 0;
	return preflight_block(
		&p->plan->preflight, "idle", ENOENT, DHAT_EXIT_NO_ALLOCATOR,
		"the process did nothing for %.1f s, and its allocator shows only by "
		"what its code does in use: an attach now finds none; attach while it "
		"works",
		load.wall_ns / 1e9);
}

static void fill_verdict(struct planner *p)
{
	struct dhat_error err = { 0 };
	char *line = p->plan->verdict;
	size_t size = sizeof(p->plan->verdict);

	p->plan->is_safe = preflight_verdict(&p->plan->preflight, &err) == 0;
	p->plan->exit_code = err.code;
	if (p->plan->is_safe)
		snprintf(line, size, "safe to attach%s%s",
			 would_be_partial(&p->plan->preflight) ? "; the numbers will be partial"
							       : "",
			 has_to_be_tried(p) ? "; refused if what its code does proves no allocator"
					    : "");
	else
		snprintf(line, size, "cannot be attached to: %s", err.message);
}

/* Whom they serve would be found out by attaching only. */
static int look_for_breakpoints(struct planner *p)
{
	_cleanup_(breakpoints_deinit) struct breakpoints found = { 0 };
	char places[160];

	if (breakpoints_find(p->pid, &found) || found.count == 0)
		return 0;
	breakpoints_places(&found, NULL, NULL, places, sizeof(places));
	return preflight_add(&p->plan->preflight, "breakpoints",
			     "%zu in its code already (%s): a tracer's, or left by one that was "
			     "killed; each call there costs 0.5 to 10 µs more; an attach, or "
			     "dhatctl repair --pid %d, removes those that serve nobody",
			     found.count, places, (int)p->pid);
}

static int look(struct planner *p, struct targets *targets, struct dhat_error *err)
{
	bool is_ours;
	int r = preflight_host(&p->plan->preflight);

	if (r == 0)
		r = preflight_process(&p->plan->preflight, p->pid);
	if (r || preflight_verdict(&p->plan->preflight, NULL))
		return r;
	if (identity_read(p->pid, &p->plan->identity, NULL) < 0)
		return preflight_block(&p->plan->preflight, "no process", ESRCH,
				       DHAT_EXIT_NO_PROCESS, "process %d has just ended",
				       (int)p->pid);
	p->plan->has_identity = true;
	r = choose_links(p);
	if (r == 0)
		r = look_at_objects(p, err);
	is_ours = r == 0 && fill_known_rate(p, targets);
	if (r == 0 && !is_ours)
		r = look_for_breakpoints(p);
	if (r == 0 && p->site_count > 0 && !is_ours)
		estimate_rate(p);
	if (r == 0 && !is_ours)
		r = look_for_use(p);
	return r;
}

int plan_make(pid_t pid, const struct target_options *options, struct worker *worker,
	      struct targets *targets, struct plan *ret, struct dhat_error *err)
{
	_cleanup_(planner_deinit) struct planner p = {
		.pid = pid,
		.options = options,
		.worker = worker,
		.plan = ret,
		.kind = UPROBE_KINDS,
	};
	struct customs *customs = NULL;
	int r = customs_new(options->custom, &customs, err); /* can they be read? */

	customs_free(customs);
	if (r < 0)
		return r;
	ret->sample_bytes = options->sample_bytes;
	ret->allocs_per_second = ret->cost_percent = ret->cost_at_most_percent = -1;
	r = look(&p, targets, err);
	if (r < 0)
		return r;
	fill_verdict(&p);
	return 0;
}
