#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/kernel/selftest.h"
#include "daemon/object/sites/allocators.h"
#include "daemon/object/sites/custom.h"
#include "daemon/object/sites/hidden.h"
#include "daemon/proc/breakpoints.h"
#include "daemon/proc/file.h"
#include "daemon/proc/load.h"
#include "daemon/proc/mapfile.h"
#include "daemon/proc/procmaps.h"
#include "daemon/target/identity.h"
#include "daemon/target/preflight.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

#define SAMPLE_NS 1000000000ull
/* What a counted call costs its thread, on average of allocations (with return and stack) and
 * frees: `make bench` measures it. */
#define COUNTED_CALL_NS 1300 /* (2,656 - 12) / 2 at 10 frames: README */
#define FEW_SAMPLES 5	     /* in the allocator: below that a rate would be made of noise */

struct planner {
	pid_t pid;
	const struct target_options *options;
	struct worker *worker;
	struct customs *customs;
	struct preflight preflight;
	Dhat__Plan *plan;
	struct object_desc *executable;
	struct load_range *ranges;
	size_t range_count, site_count;
	enum uprobe_kind kind;
	bool avoids_return_probes, failed;
};

static void planner_deinit(struct planner *p)
{
	preflight_deinit(&p->preflight);
	customs_free(p->customs);
	object_desc_free(p->executable);
	free(p->ranges);
	if (p->plan)
		dhat__plan__free_unpacked(p->plan, NULL);
}

/* ---- messages ----------------------------------------------------------------------------- */

static char *text(struct planner *p, const char *string)
{
	char *copy = *string ? strdup(string) : without_qualifiers(protobuf_c_empty_string);

	if (!copy)
		p->failed = true;
	return copy ? copy : without_qualifiers(protobuf_c_empty_string);
}

/* A zeroed element more at the end of a repeated field; NULL: out of memory. */
#define APPEND(p, list, count)                                                                     \
	({                                                                                         \
		__typeof__(*(list)) element_ = calloc(1, sizeof(*element_));                       \
		__typeof__(list) grown_ = NULL;                                                    \
		if (element_)                                                                      \
			grown_ = reallocarray(list, (count) + 1, sizeof(*grown_));                 \
		if (grown_) {                                                                      \
			(list) = grown_;                                                           \
			grown_[(count)++] = element_;                                              \
		} else {                                                                           \
			free(element_);                                                            \
			element_ = NULL;                                                           \
			(p)->failed = true;                                                        \
		}                                                                                  \
		element_;                                                                          \
	})

static void fill_target(struct planner *p, const struct target_identity *identity)
{
	Dhat__Target *target = malloc(sizeof(*target));
	size_t i;

	if (!target) {
		p->failed = true;
		return;
	}
	dhat__target__init(target);
	p->plan->target = target;
	target->pid = identity->pid;
	target->uid = identity->uid;
	target->command = text(p, identity->command);
	target->executable = text(p, identity->executable);
	target->namespace_pids = calloc(identity->ns_pid_count + 1, sizeof(uint32_t));
	if (!target->namespace_pids) {
		p->failed = true;
		return;
	}
	for (i = 0; i < identity->ns_pid_count; i++)
		target->namespace_pids[target->n_namespace_pids++] = identity->ns_pids[i];
}

static void add_allocator(struct planner *p, const char *allocator, const char *path)
{
	Dhat__Target *target = p->plan->target;
	_cleanup_free_ char *line = NULL;
	char **grown;

	if (asprintf(&line, "%s (%s)", allocator, path) < 0)
		line = NULL;
	grown = !line ? NULL
		      : reallocarray(target->allocators, target->n_allocators + 1, sizeof(*grown));
	if (!grown) {
		p->failed = true;
		return;
	}
	target->allocators = grown;
	grown[target->n_allocators++] = text(p, line);
}

static const char *returns_by(const struct planner *p, const struct allocator_site *site)
{
	if (site->is_refused)
		return "not probed";
	if (site->returns == ALLOCATOR_RETURNS_EXITS)
		return "exit probes";
	if (site->returns == ALLOCATOR_RETURNS_NOTHING)
		return "";
	return p->kind == UPROBE_SESSION ? "session" : "return probe";
}

static void add_probe(struct planner *p, const struct allocator_site *site, const char *path)
{
	Dhat__Probe *probe = APPEND(p, p->plan->probes, p->plan->n_probes);

	if (!probe)
		return;
	dhat__probe__init(probe);
	probe->function = text(p, site->function.name);
	probe->role = text(p, allocators_role_name(site->function.role));
	probe->object = text(p, path);
	probe->function_vaddr = site->symbol->vaddr;
	probe->site_vaddr = site->symbol->vaddr + site->place.offset;
	probe->file_offset = site->place_file_offset;
	probe->instruction = text(p, site->place.instruction);
	probe->is_emulated = site->place.is_emulated;
	probe->returns_by = text(p, returns_by(p, site));
	probe->link = text(p, p->kind < UPROBE_KINDS ? uprobe_kind_name(p->kind) : "");
	probe->note = text(p, site->place.note);
	probe->allocator = text(p, site->allocator);
}

static void fill_hazards(struct planner *p)
{
	size_t i;

	for (i = 0; i < p->preflight.count; i++) {
		const struct preflight_hazard *from = &p->preflight.hazards[i];
		Dhat__Hazard *to = APPEND(p, p->plan->hazards, p->plan->n_hazards);

		if (!to)
			return;
		dhat__hazard__init(to);
		to->name = text(p, from->name);
		to->detail = text(p, from->detail);
		to->is_blocking = from->is_blocking;
	}
}

/* ---- objects ------------------------------------------------------------------------------ */

static bool is_same_file(const struct procmaps_entry *a, const struct procmaps_entry *b)
{
	return a->inode == b->inode && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

static bool is_code_of_file(const struct procmaps_entry *e)
{
	return e->is_executable && e->inode && e->path[0] == '/';
}

static void add_range(struct planner *p, uint64_t start, uint64_t end)
{
	struct load_range *grown = reallocarray(p->ranges, p->range_count + 1, sizeof(*grown));

	if (!grown) {
		p->failed = true;
		return;
	}
	p->ranges = grown;
	grown[p->range_count++] = (struct load_range){ start, end };
}

/* Where the allocator's code is. Of a library that is an allocator all of it; of a libc or a
 * program what lies around the functions found: a compilation unit's functions stay together, and
 * its static ones come before those that call them. */
static void add_ranges(struct planner *p, const struct procmaps_entry *e, bool is_all,
		       const struct allocator_site *sites, size_t count)
{
	uint64_t first = UINT64_MAX, last = 0, end;
	size_t i;

	for (i = 0; i < count; i++) {
		end = sites[i].symbol->file_offset + sites[i].symbol->size_bytes;
		if (sites[i].symbol->file_offset < first)
			first = sites[i].symbol->file_offset;
		if (end > last)
			last = end;
	}
	first = first > OBJECT_CODE_BYTES ? first - OBJECT_CODE_BYTES : 0;
	if (is_all || first < e->file_offset)
		first = e->file_offset;
	if (is_all || last > e->file_offset + (e->end - e->start))
		last = e->file_offset + (e->end - e->start);
	if (first < last)
		add_range(p, e->start + (first - e->file_offset),
			  e->start + (last - e->file_offset));
}

static int use_sites(struct planner *p, const struct procmaps *maps, size_t entry,
		     const struct object_desc *desc, const struct allocator_site *sites,
		     size_t count)
{
	const struct procmaps_entry *e = &maps->entries[entry];
	bool is_all = !desc->is_program && !desc->libc_version[0];
	size_t i;
	int r;

	if (count == 0)
		return 0;
	add_allocator(p, sites[0].allocator, e->path);
	for (i = 0; i < count; i++) {
		add_probe(p, &sites[i], e->path);
		p->site_count += !sites[i].is_refused;
	}
	for (i = entry; i < maps->count; i++)
		if (is_code_of_file(&maps->entries[i]) && is_same_file(&maps->entries[i], e))
			add_ranges(p, &maps->entries[i], is_all, sites, count);
	r = preflight_copier(&p->preflight, desc, e->path, p->pid, false);
	return r ? r : preflight_sites(&p->preflight, sites, count, e->path);
}

static int look_for_allocators(struct planner *p, const struct procmaps *maps, size_t entry,
			       const struct object_desc *desc, struct dhat_error *err)
{
	struct allocator_site *sites = NULL, *custom = NULL;
	size_t count = 0, custom_count = 0;
	const char *path = maps->entries[entry].path;
	int r;

	r = allocators_find(desc, path, true, p->avoids_return_probes, &sites, &count);
	if (r == 0)
		r = customs_find(p->customs, desc, path, true, p->avoids_return_probes, &custom,
				 &custom_count, err);
	if (r == 0)
		r = use_sites(p, maps, entry, desc, sites, count);
	if (r == 0)
		r = use_sites(p, maps, entry, desc, custom, custom_count);
	if (r == 0 && !hidden_is_named(custom, custom_count))
		r = preflight_hidden(&p->preflight, desc, path, hidden_makers(desc, sites, count));
	allocators_sites_free(sites, count);
	allocators_sites_free(custom, custom_count);
	return r;
}

static bool is_executable_file(pid_t pid, int fd)
{
	_cleanup_close_ int dir_fd = -1;
	struct stat program, file;

	return proc_open_dir(pid, &dir_fd) == 0 && fstatat(dir_fd, "exe", &program, 0) == 0 &&
	       fstat(fd, &file) == 0 && program.st_ino == file.st_ino &&
	       program.st_dev == file.st_dev;
}

static int look_at_object(struct planner *p, const struct procmaps *maps, size_t entry,
			  struct dhat_error *err)
{
	const struct procmaps_entry *e = &maps->entries[entry];
	_cleanup_close_ int fd = mapfile_open(p->pid, e->start, e->end, e->path, e->inode);
	struct object_desc *desc = NULL;
	struct dhat_error why = { 0 };
	int r;

	if (fd < 0)
		return preflight_add(
			&p->preflight, "unreadable file",
			"%s cannot be opened: if it holds an allocator, that is not seen", e->path);
	if (worker_describe(p->worker, fd, p->customs->names, &desc, &why) < 0)
		return preflight_add(&p->preflight, "unreadable file", "%s: %s", e->path,
				     why.message);
	r = look_for_allocators(p, maps, entry, desc, err);
	if (!p->executable && is_executable_file(p->pid, fd))
		p->executable = take_ptr(desc);
	object_desc_free(desc);
	return r;
}

static int look_at_objects(struct planner *p, const char *executable, struct dhat_error *err)
{
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	int r = procmaps_read(p->pid, &maps);
	size_t i, k;

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return preflight_block(&p->preflight, "no process", -r, dhat_exit_of_errno(-r),
				       "/proc/%d/maps cannot be read: %s", (int)p->pid,
				       strerror(-r));
	for (i = 0; i < maps.count && r == 0; i++) {
		if (!is_code_of_file(&maps.entries[i]))
			continue;
		for (k = 0; k < i; k++)
			if (is_code_of_file(&maps.entries[k]) &&
			    is_same_file(&maps.entries[k], &maps.entries[i]))
				break;
		if (k == i)
			r = look_at_object(p, &maps, i, err);
	}
	if (r == 0)
		r = preflight_copied(&p->preflight, &maps);
	return r ? r
		 : preflight_executable(&p->preflight, p->executable, executable, p->site_count);
}

/* ---- how it would be attached --------------------------------------------------------------- */

/* The best kind of link that works, tried on a child of ours. */
static int choose_links(struct planner *p)
{
	const char *forced = p->options->link;
	enum selftest_result result = SELFTEST_KILLED;
	struct dhat_error why = { 0 };
	bool is_forced = forced && *forced;
	int r = -ENOTSUP;

	p->kind = is_forced ? uprobe_kind_of_name(forced) : UPROBE_SESSION;
	for (; p->kind < UPROBE_KINDS; p->kind++) {
		why = (struct dhat_error){ 0 };
		r = selftest_threads(p->kind, &why);
		if (r == 0)
			r = selftest_seccomp(p->kind, &result, &why);
		if (r == 0 || is_forced)
			break;
	}
	p->avoids_return_probes = p->options->no_return_probes;
	if (r < 0)
		return preflight_block(&p->preflight, "no probes", ENOTSUP, DHAT_EXIT_UNSUPPORTED,
				       "no uprobe could be placed on a process of our own: %s",
				       why.message);
	if (!p->preflight.has_seccomp || p->avoids_return_probes)
		return 0;
	p->avoids_return_probes = result != SELFTEST_UNHARMED;
	return preflight_add(&p->preflight, "seccomp",
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

	if (targets_list(targets, &list, &count) < 0)
		return false;
	for (i = 0; i < count; i++) {
		if (target_pid(list[i]) == p->pid && target_state_of(list[i]) == TARGET_ATTACHED &&
		    target_copy(list[i], false, &copy, NULL) == 0) {
			p->plan->allocs_per_second = copy->allocs_per_second;
			p->plan->cost_percent = (copy->allocs_per_second + copy->frees_per_second) *
						COUNTED_CALL_NS / 1e7;
			p->plan->cost_basis = text(p, "counted: dhatd is attached to it already");
			target_copy_free(copy);
			is_known = true;
		}
		target_unref(list[i]);
	}
	free(list);
	return is_known;
}

static void estimate_rate(struct planner *p)
{
	struct load load = { 0 };
	struct dhat_error why = { 0 };
	char basis[sizeof(why.message) + 32];
	double calls;

	if (load_measure(p->pid, p->ranges, p->range_count, SAMPLE_NS, &load, &why) < 0) {
		snprintf(basis, sizeof(basis), "not known: %s", why.message);
	} else if (load.samples == 0) {
		p->plan->allocs_per_second = p->plan->cost_percent = 0;
		snprintf(basis, sizeof(basis),
			 "the process did nothing while it was sampled for %.1f s",
			 load.wall_ns / 1e9);
	} else if (load.inside < FEW_SAMPLES) {
		load.inside = FEW_SAMPLES;
		snprintf(basis, sizeof(basis),
			 "not known, but low: hardly any of %" PRIu64
			 " samples of its CPU time in %.1f "
			 "s was in its allocator, so that it would cost less than some %.1f %% of "
			 "one "
			 "core",
			 load.samples, load.wall_ns / 1e9,
			 load_calls_per_second(&load) * COUNTED_CALL_NS / 1e7);
	} else {
		calls = load_calls_per_second(&load);
		p->plan->allocs_per_second = calls / 2;
		p->plan->cost_percent = calls * COUNTED_CALL_NS / 1e7;
		snprintf(basis, sizeof(basis),
			 "an order of magnitude: %" PRIu64 " of %" PRIu64
			 " samples of its CPU time in "
			 "%.1f s were in its allocator, where a call takes some %d ns; a counted "
			 "one "
			 "costs %d ns more",
			 load.inside, load.samples, load.wall_ns / 1e9, LOAD_CALL_NS,
			 COUNTED_CALL_NS);
	}
	p->plan->cost_basis = text(p, basis);
}

/* ---- the whole ---------------------------------------------------------------------------- */

static bool would_be_partial(const struct preflight *preflight)
{
	for (size_t i = 0; i < preflight->count; i++)
		if (preflight->hazards[i].is_partial)
			return true;
	return false;
}

static void fill_verdict(struct planner *p)
{
	struct dhat_error err = { 0 };
	char line[640];

	p->plan->is_safe = preflight_verdict(&p->preflight, &err) == 0;
	if (p->plan->is_safe)
		snprintf(line, sizeof(line), "safe to attach%s",
			 would_be_partial(&p->preflight) ? "; the numbers will be partial" : "");
	else
		snprintf(line, sizeof(line), "cannot be attached to: %s", err.message);
	p->plan->verdict = text(p, line);
}

/* Whom they serve would be found out by attaching only. */
static int look_for_breakpoints(struct planner *p)
{
	_cleanup_(breakpoints_deinit) struct breakpoints found = { 0 };
	char places[160];

	if (breakpoints_find(p->pid, &found) || found.count == 0)
		return 0;
	breakpoints_places(&found, NULL, NULL, places, sizeof(places));
	return preflight_add(&p->preflight, "breakpoints",
			     "%zu in its code already (%s): a tracer's, or left by one that was "
			     "killed; each call there costs 0.5 to 10 µs more; an attach, or "
			     "dhatctl repair --pid %d, removes those that serve nobody",
			     found.count, places, (int)p->pid);
}

static int look(struct planner *p, struct targets *targets, struct dhat_error *err)
{
	struct target_identity identity = { 0 };
	bool is_ours;
	int r = preflight_host(&p->preflight);

	if (r == 0)
		r = preflight_process(&p->preflight, p->pid);
	if (r || preflight_verdict(&p->preflight, NULL))
		return r;
	if (identity_read(p->pid, &identity, NULL) < 0)
		return preflight_block(&p->preflight, "no process", ESRCH, DHAT_EXIT_NO_PROCESS,
				       "process %d has just ended", (int)p->pid);
	fill_target(p, &identity);
	r = p->failed ? -ENOMEM : choose_links(p);
	if (r == 0)
		r = look_at_objects(p, identity.executable, err);
	is_ours = r == 0 && fill_known_rate(p, targets);
	if (r == 0 && !is_ours)
		r = look_for_breakpoints(p);
	if (r == 0 && p->site_count > 0 && !is_ours)
		estimate_rate(p);
	identity_deinit(&identity);
	return r;
}

int plan_make(pid_t pid, const struct target_options *options, struct worker *worker,
	      struct targets *targets, Dhat__Plan **ret, struct dhat_error *err)
{
	_cleanup_(planner_deinit) struct planner p = {
		.pid = pid,
		.options = options,
		.worker = worker,
		.kind = UPROBE_KINDS,
	};
	int r = customs_new(options->custom, &p.customs, err);

	if (r < 0)
		return r;
	p.plan = malloc(sizeof(*p.plan));
	if (!p.plan)
		return -ENOMEM;
	dhat__plan__init(p.plan);
	p.plan->allocs_per_second = p.plan->cost_percent = -1;
	r = look(&p, targets, err);
	if (r < 0)
		return r;
	fill_hazards(&p);
	fill_verdict(&p);
	if (p.failed)
		return -ENOMEM;
	*ret = take_ptr(p.plan);
	return 0;
}
