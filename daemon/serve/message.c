#include "message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "daemon/object/families/role.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/profile/estimate.h"
#include "proto/profile/snapshot.h"
#include "proto/wire/words.h"

/* Messages are filled with one flag for "out of memory", looked at once at the end: what was made
 * until then is freed by the message's own free function. */

static char *text(bool *failed, const char *string)
{
	char *copy;

	if (!string || !*string)
		return without_qualifiers(protobuf_c_empty_string);
	copy = strdup(string);
	if (!copy)
		*failed = true;
	return copy ? copy : without_qualifiers(protobuf_c_empty_string);
}

static void *array(bool *failed, size_t count, size_t element_size)
{
	void *list = count ? calloc(count, element_size) : NULL;

	if (count && !list)
		*failed = true;
	return list;
}

/* Appends copies of the strings of a NULL-terminated list. */
static void add_texts(bool *failed, char *const *list, char ***field, size_t *field_count)
{
	size_t count = 0;
	char **grown;

	while (list && list[count])
		count++;
	if (!count)
		return;
	grown = reallocarray(*field, *field_count + count, sizeof(*grown));
	if (!grown) {
		*failed = true;
		return;
	}
	*field = grown;
	for (size_t i = 0; i < count; i++)
		grown[(*field_count)++] = text(failed, list[i]);
}

/* A new message of a type, filled with defaults. */
#define NEW(type, init)                                                                            \
	({                                                                                         \
		type *made_ = malloc(sizeof(type));                                                \
		if (made_)                                                                         \
			init(made_);                                                               \
		made_;                                                                             \
	})

/* ---- words ---- */

const char *message_stop_name(uint8_t stop)
{
	static const char *const names[DHAT_STOP_COUNT] = {
		[DHAT_STOP_COMPLETE] = DHAT_STACK_COMPLETE,
		[DHAT_STOP_NO_TABLE] = "no table",
		[DHAT_STOP_NO_RULE] = "no rule",
		[DHAT_STOP_BAD_MEMORY] = "bad memory",
		[DHAT_STOP_TOO_DEEP] = "too deep",
		[DHAT_STOP_JIT] = "JIT",
		[DHAT_STOP_NO_SCRATCH] = "no scratch",
		[DHAT_STOP_NO_CALLER] = "no caller",
	};

	return stop < DHAT_STOP_COUNT ? names[stop] : "unknown";
}

/* ---- parts ---- */

uint64_t message_since(const struct target_copy *copy, uint64_t time_ns)
{
	return time_ns > copy->observed_since_ns ? time_ns - copy->observed_since_ns : 0;
}

/* "glibc 2.36 (/usr/lib/libc.so.6)" */
static void set_allocators(bool *failed, const struct probed *probed, Dhat__Target *target)
{
	target->allocators = array(failed, probed->allocator_count, sizeof(char *));
	for (size_t i = 0; target->allocators && i < probed->allocator_count; i++) {
		_cleanup_free_ char *line = NULL;

		if (asprintf(&line, "%s (%s)", probed->allocators[i].name,
			     probed->allocators[i].path) < 0) {
			line = NULL;
			*failed = true;
		}
		target->allocators[target->n_allocators++] = text(failed, line);
	}
}

/* NULL: in none. */
static Dhat__Container *new_container(bool *failed, const struct container *from)
{
	Dhat__Container *container;

	if (!*from->id)
		return NULL;
	container = NEW(Dhat__Container, dhat__container__init);
	if (!container) {
		*failed = true;
		return NULL;
	}
	container->runtime = text(failed, from->runtime);
	container->id = text(failed, from->id);
	container->pod = text(failed, from->pod);
	return container;
}

static Dhat__Target *new_target(bool *failed, const struct target_identity *identity,
				const struct probed *probed)
{
	Dhat__Target *target = NEW(Dhat__Target, dhat__target__init);

	if (!target) {
		*failed = true;
		return NULL;
	}
	target->pid = identity->pid;
	target->namespace_pids = array(failed, identity->ns_pid_count, sizeof(uint32_t));
	for (size_t i = 0; target->namespace_pids && i < identity->ns_pid_count; i++)
		target->namespace_pids[target->n_namespace_pids++] = identity->ns_pids[i];
	target->uid = identity->uid;
	target->command = text(failed, identity->command);
	target->executable = text(failed, identity->executable);
	set_allocators(failed, probed, target);
	target->container = new_container(failed, &identity->container);
	target->unit = text(failed, identity->unit);
	return target;
}

static Dhat__Target *new_copied_target(bool *failed, const struct target_copy *copy)
{
	Dhat__Target *target = new_target(failed, &copy->identity, &copy->probed);

	if (!target)
		return NULL;
	target->state = text(failed, target_state_name(copy->state));
	target->state_detail = text(failed, copy->state_detail);
	target->from_start = copy->from_start;
	target->observed_since_unix_ns = copy->observed_since_unix_ns;
	target->observed_ns = message_since(copy, copy->end_ns);
	return target;
}

void message_fill_sampled(const struct sample *sample, const struct heap_sampled *from,
			  bool has_all, Dhat__Sampled *ret)
{
	dhat__sampled__init(ret);
	ret->total_bytes = from->total_seen;
	ret->peak_bytes = from->peak_seen;
	ret->live_bytes = from->live_seen;
	ret->total_variance = sample_variance(sample, from->total_error);
	ret->peak_variance = sample_variance(sample, from->peak_error);
	ret->live_variance = sample_variance(sample, from->live_error);
	ret->total_single = from->total_single;
	ret->peak_single = from->peak_single;
	ret->live_single = from->live_single;
	if (!has_all)
		ret->total_variance += DHAT_VARIANCE_LEAST;
}

static Dhat__Sampled *new_sampled(bool *failed, const struct target_copy *copy,
				  const struct heap_sampled *from)
{
	Dhat__Sampled *sampled = NEW(Dhat__Sampled, dhat__sampled__init);

	if (sampled)
		message_fill_sampled(&copy->sample, from, false, sampled);
	else
		*failed = true;
	return sampled;
}

static Dhat__Totals *new_totals(bool *failed, const struct target_copy *copy)
{
	const struct heap_totals *from = &copy->totals;
	Dhat__Totals *totals = NEW(Dhat__Totals, dhat__totals__init);

	if (!totals) {
		*failed = true;
		return NULL;
	}
	totals->total_bytes = from->total_bytes;
	totals->total_blocks = from->total_blocks;
	totals->peak_bytes = from->peak_bytes;
	totals->peak_blocks = from->peak_blocks;
	totals->peak_ns = message_since(copy, from->peak_time_ns);
	totals->live_bytes = from->live_bytes;
	totals->live_blocks = from->live_blocks;
	totals->end_ns = message_since(copy, copy->end_ns);
	totals->freed_before_blocks = from->unknown_frees;
	totals->freed_before_bytes = from->unknown_free_bytes;
	totals->stack_count = copy->point_count;
	if (copy->sample.bytes)
		totals->sampled = new_sampled(failed, copy, &from->sampled);
	totals->is_listing = copy->is_listing;
	return totals;
}

static Dhat__Verdict *new_verdict(bool *failed, const struct target_copy *copy)
{
	Dhat__Verdict *verdict = NEW(Dhat__Verdict, dhat__verdict__init);

	if (!verdict) {
		*failed = true;
		return NULL;
	}
	verdict->exact = copy->verdict == DHAT_EXACT;
	verdict->word = text(failed, dhat_verdict_word(copy->verdict));
	verdict->uncounted_bytes = copy->uncounted_bytes;
	add_texts(failed, copy->reasons, &verdict->reasons, &verdict->n_reasons);
	return verdict;
}

static Dhat__Probe *new_probe(bool *failed, const struct probe *from)
{
	Dhat__Probe *probe = NEW(Dhat__Probe, dhat__probe__init);

	if (!probe) {
		*failed = true;
		return NULL;
	}
	probe->function = text(failed, from->function);
	probe->role = text(failed, role_name(from->role));
	probe->object = text(failed, from->object_path);
	probe->function_vaddr = from->function_vaddr;
	probe->site_vaddr = from->site_vaddr;
	probe->file_offset = from->file_offset;
	probe->instruction = text(failed, from->instruction);
	probe->is_emulated = from->is_emulated;
	probe->is_executed_by_us = from->is_executed_by_us;
	probe->returns_by = text(failed, from->returns_by);
	probe->link = text(failed, from->link);
	probe->note = text(failed, from->note);
	probe->allocator = text(failed, from->allocator);
	return probe;
}

static Dhat__Mark *new_mark(bool *failed, const struct target_copy *copy, uint32_t number)
{
	struct moments_figures since = moments_since(copy->moments, number);
	Dhat__Mark *mark = NEW(Dhat__Mark, dhat__mark__init);

	if (!mark) {
		*failed = true;
		return NULL;
	}
	mark->name = text(failed, copy->moments->list[number].name);
	mark->ns = message_since(copy, copy->moments->times_ns[number]);
	mark->live_bytes = since.bytes;
	mark->live_blocks = since.blocks;
	return mark;
}

static Dhat__Counter *new_counter(bool *failed, const struct target_counter *from)
{
	Dhat__Counter *counter = NEW(Dhat__Counter, dhat__counter__init);

	if (!counter) {
		*failed = true;
		return NULL;
	}
	counter->name = text(failed, from->name);
	counter->value = from->value;
	counter->meaning = text(failed, from->meaning);
	counter->is_loss = from->is_loss;
	return counter;
}

static Dhat__Hazard *new_hazard(bool *failed, const struct preflight_hazard *from)
{
	Dhat__Hazard *hazard = NEW(Dhat__Hazard, dhat__hazard__init);

	if (!hazard) {
		*failed = true;
		return NULL;
	}
	hazard->name = text(failed, from->name);
	hazard->detail = text(failed, from->detail);
	hazard->is_blocking = from->is_blocking;
	return hazard;
}

static void set_probes(bool *failed, const struct probed *probed, Dhat__Probe ***ret,
		       size_t *ret_count)
{
	*ret = array(failed, probed->probe_count, sizeof(**ret));
	for (size_t i = 0; *ret && i < probed->probe_count; i++) {
		(*ret)[i] = new_probe(failed, &probed->probes[i]);
		if (!(*ret)[i])
			return;
		(*ret_count)++;
	}
}

static void set_hazards(bool *failed, const struct preflight *preflight, Dhat__Hazard ***ret,
			size_t *ret_count)
{
	*ret = array(failed, preflight->count, sizeof(**ret));
	for (size_t i = 0; *ret && i < preflight->count; i++) {
		(*ret)[i] = new_hazard(failed, &preflight->hazards[i]);
		if (!(*ret)[i])
			return;
		(*ret_count)++;
	}
}

static void set_counters(bool *failed, const struct target_copy *copy, Dhat__Counter ***ret,
			 size_t *ret_count)
{
	*ret = array(failed, copy->counter_count, sizeof(**ret));
	for (size_t i = 0; *ret && i < copy->counter_count; i++) {
		(*ret)[i] = new_counter(failed, &copy->counters[i]);
		if (!(*ret)[i])
			return;
		(*ret_count)++;
	}
}

static void set_marks(bool *failed, const struct target_copy *copy, Dhat__Mark ***ret,
		      size_t *ret_count)
{
	uint32_t count = copy->moments ? copy->moments->count : 0;

	*ret = array(failed, count, sizeof(**ret));
	for (uint32_t i = 0; *ret && i < count; i++) {
		(*ret)[i] = new_mark(failed, copy, i);
		if (!(*ret)[i])
			return;
		(*ret_count)++;
	}
}

/* ---- history ---- */

/* One number of each slot, at `offset` in it. */
static void set_series(bool *failed, const struct heap_history *history, size_t offset,
		       uint64_t **ret, size_t *ret_count)
{
	*ret = array(failed, history->slot_count, sizeof(**ret));
	for (size_t i = 0; *ret && i < history->slot_count; i++)
		(*ret)[(*ret_count)++] =
			*(const uint64_t *)((const char *)&history->slots[i] + offset);
}

static Dhat__Timeline *new_timeline(bool *failed, const struct target_copy *copy)
{
	const struct heap_history *history = &copy->history;
	Dhat__Timeline *timeline = NEW(Dhat__Timeline, dhat__timeline__init);

	if (!timeline) {
		*failed = true;
		return NULL;
	}
	timeline->start_ns = message_since(copy, history->start_ns);
	timeline->slot_ns = history->slot_ns;
#define SERIES(field) &timeline->field, &timeline->n_##field
#define SLOT(field) offsetof(struct history_slot, field)
	set_series(failed, history, SLOT(live_bytes), SERIES(live_bytes));
	set_series(failed, history, SLOT(most_bytes), SERIES(most_bytes));
	set_series(failed, history, SLOT(live_blocks), SERIES(live_blocks));
	set_series(failed, history, SLOT(allocated), SERIES(allocations));
	set_series(failed, history, SLOT(freed), SERIES(frees));
	set_series(failed, history, SLOT(rss_bytes), SERIES(rss_bytes));
#undef SERIES
#undef SLOT
	return timeline;
}

static Dhat__PointSlots *new_point_slots(bool *failed, const struct target_copy *copy)
{
	Dhat__PointSlots *slots = NEW(Dhat__PointSlots, dhat__point_slots__init);

	if (!slots) {
		*failed = true;
		return NULL;
	}
	slots->start_ns = message_since(copy, copy->history.start_ns);
	slots->slot_ns = copy->history.point_slot_ns;
	slots->count = copy->history.point_slot_count;
	return slots;
}

static void set_steps(bool *failed, const struct target_copy *copy, Dhat__Step ***ret,
		      size_t *ret_count)
{
	static const char *const words[] = {
		[TARGET_STEP_SAMPLED] = "sampled", [TARGET_STEP_DETACHED] = "detached"
	};

	*ret = calloc(copy->steps.count + 1, sizeof(**ret));
	*failed |= !*ret;
	for (size_t i = 0; *ret && i < copy->steps.count; i++) {
		const struct target_step *from = &copy->steps.list[i];
		Dhat__Step *step = NEW(Dhat__Step, dhat__step__init);

		if (!step) {
			*failed = true;
			return;
		}
		(*ret)[(*ret_count)++] = step;
		step->word = text(failed, words[from->kind]);
		step->unix_ns = from->unix_ns;
		step->ns = message_since(copy, from->ns);
		step->sample_bytes = from->sample_bytes;
		step->reason = text(failed, from->reason);
	}
}

/* ---- wholes ---- */

Dhat__Target *message_target(const struct target_copy *copy)
{
	bool failed = false;
	Dhat__Target *target = new_copied_target(&failed, copy);

	if (!failed)
		return target;
	if (target)
		dhat__target__free_unpacked(target, NULL);
	return NULL;
}

Dhat__TargetStatus *message_target_status(const struct target_copy *copy)
{
	Dhat__TargetStatus *status = NEW(Dhat__TargetStatus, dhat__target_status__init);
	bool failed = false;

	if (!status)
		return NULL;
	status->target = new_copied_target(&failed, copy);
	status->totals = new_totals(&failed, copy);
	status->verdict = new_verdict(&failed, copy);
	set_probes(&failed, &copy->probed, &status->probes, &status->n_probes);
	set_counters(&failed, copy, &status->counters, &status->n_counters);
	status->allocs_per_second = copy->allocs_per_second;
	status->frees_per_second = copy->frees_per_second;
	status->cost_percent = copy->cost_percent;
	status->sample_bytes = copy->sample.bytes;
	status->alloc_cost_ns = copy->price.alloc_ns;
	status->free_cost_ns = copy->price.free_ns;
	status->other_cost_ns = copy->price.other_ns;
	status->cpu_percent = copy->cpu_percent;
	status->ring_bytes = copy->ring_bytes;
	status->ring_used_bytes = copy->ring_used_bytes;
	status->table_bytes = copy->table_bytes;
	status->code_bytes = copy->code_bytes;
	status->tables_ready = copy->tables_ready;
	status->tables_pending = copy->tables_pending;
	status->memory_limit_bytes = copy->memory.limit_bytes;
	status->memory_bytes = copy->memory.used_bytes;
	status->memory_accounts_bytes = copy->memory.accounts_bytes;
	status->memory_kernel_bytes = copy->memory.kernel_bytes;
	status->memory_table_bytes = copy->memory.table_bytes;
	status->memory_copy_bytes = copy->memory.copy_bytes;
	status->links_are_pinned = copy->links_are_pinned;
	add_texts(&failed, copy->notes, &status->notes, &status->n_notes);
	set_marks(&failed, copy, &status->marks, &status->n_marks);
	set_steps(&failed, copy, &status->steps, &status->n_steps);
	if (!failed)
		return status;
	dhat__target_status__free_unpacked(status, NULL);
	return NULL;
}

static Dhat__View *new_view(bool *failed, const struct target_copy *copy)
{
	Dhat__View *view = NEW(Dhat__View, dhat__view__init);

	if (!view) {
		*failed = true;
		return NULL;
	}
	view->generation = copy->view.generation;
	view->is_changes = copy->is_changes;
	view->known_points = copy->view.known_points;
	view->peak_number = copy->peak_number;
	return view;
}

static void set_threads(bool *failed, const struct target_copy *copy, Dhat__SnapshotHead *head)
{
	char *names[THREAD_NAMES_MOST + 1] = { NULL };

	for (uint8_t i = 0; i < copy->names.count; i++)
		names[i] = without_qualifiers(copy->names.names[i]);
	add_texts(failed, names, &head->threads, &head->n_threads);
}

static void name_allocators(bool *failed, const struct target_copy *copy, Dhat__SnapshotHead *head)
{
	for (size_t i = 0; i < copy->probed.allocator_count; i++) {
		char *names[] = { copy->probed.allocators[i].name, NULL };

		add_texts(failed, names, &head->allocators, &head->n_allocators);
	}
}

Dhat__SnapshotHead *message_snapshot_head(const struct target_copy *copy, uint64_t taken_unix_ns)
{
	Dhat__SnapshotHead *head = NEW(Dhat__SnapshotHead, dhat__snapshot_head__init);
	char kernel[2 * sizeof(((struct utsname *)0)->release)];
	struct utsname name;
	bool failed = false;

	if (!head)
		return NULL;
	head->format_version = DHAT_SNAPSHOT_VERSION;
	head->tool_version = text(&failed, DHAT_VERSION);
	if (!uname(&name)) {
		snprintf(kernel, sizeof(kernel), "%s %s", name.sysname, name.release);
		head->kernel = text(&failed, kernel);
		head->host = text(&failed, name.nodename);
	}
	head->target = new_copied_target(&failed, copy);
	head->taken_unix_ns = taken_unix_ns;
	head->sample_rate = copy->sample.bytes ? 0 : 1;
	head->sample_bytes = copy->sample.bytes;
	set_steps(&failed, copy, &head->steps, &head->n_steps);
	if (copy->view.generation)
		head->view = new_view(&failed, copy);
	if (!copy->view.generation || copy->view.with_marks)
		set_marks(&failed, copy, &head->marks, &head->n_marks);
	head->temporary_ns = copy->sample.bytes ? 0 : DHAT_TEMPORARY_NS; /* heap.h, H12 */
	head->has_ages = copy->census != NULL;
	head->older_ns = copy->census ? copy->older_ns : 0;
	if (copy->census)
		head->size_classes = text(&failed, size_classes_name(copy->census->classes));
	if (copy->census && copy->lifetimes.since_ns)
		head->lifetimes_since_ns = message_since(copy, copy->lifetimes.since_ns) ?: 1;
	head->has_pages = copy->pins != NULL;
	set_threads(&failed, copy, head);
	name_allocators(&failed, copy, head);
	if (!failed)
		return head;
	dhat__snapshot_head__free_unpacked(head, NULL);
	return NULL;
}

static Dhat__Pages *new_pages(bool *failed, const struct target_copy *copy)
{
	Dhat__Pages *pages = NEW(Dhat__Pages, dhat__pages__init);
	const struct pins *pins = copy->pins;

	if (!pages) {
		*failed = true;
		return NULL;
	}
	pages->resident_bytes = pins->resident_bytes;
	pages->swapped_bytes = pins->swapped_bytes;
	pages->live_bytes = pins->live_bytes;
	pages->beside_bytes = pins->beside_bytes;
	pages->below_bytes = pins->below_bytes;
	pages->above_bytes = pins->above_bytes;
	pages->highest_blocks = pins->highest_blocks;
	pages->highest_bytes = pins->highest_bytes;
	pages->highest_gain_bytes = pins->highest_gain_bytes;
	pages->knows_all_blocks = copy->knows_all_blocks;
	pages->is_glibc = probed_is_only_glibc(&copy->probed);
	return pages;
}

Dhat__SnapshotEnd *message_snapshot_end(const struct target_copy *copy, char *const *notes)
{
	Dhat__SnapshotEnd *end = NEW(Dhat__SnapshotEnd, dhat__snapshot_end__init);
	bool failed = false;

	if (!end)
		return NULL;
	end->totals = new_totals(&failed, copy);
	end->verdict = new_verdict(&failed, copy);
	set_counters(&failed, copy, &end->counters, &end->n_counters);
	set_probes(&failed, &copy->probed, &end->probes, &end->n_probes);
	add_texts(&failed, copy->notes, &end->notes, &end->n_notes);
	add_texts(&failed, notes, &end->notes, &end->n_notes);
	if (copy->history.slot_count && !copy->view.generation) {
		end->timeline = new_timeline(&failed, copy);
		end->history = new_point_slots(&failed, copy);
	}
	if (copy->pins)
		end->pages = new_pages(&failed, copy);
	if (!failed)
		return end;
	dhat__snapshot_end__free_unpacked(end, NULL);
	return NULL;
}

Dhat__Plan *message_plan(const struct plan *plan)
{
	Dhat__Plan *message = NEW(Dhat__Plan, dhat__plan__init);
	bool failed = false;

	if (!message)
		return NULL;
	if (plan->has_identity)
		message->target = new_target(&failed, &plan->identity, &plan->probed);
	set_probes(&failed, &plan->probed, &message->probes, &message->n_probes);
	set_hazards(&failed, &plan->preflight, &message->hazards, &message->n_hazards);
	message->is_safe = plan->is_safe;
	message->exit_code = plan->exit_code;
	message->verdict = text(&failed, plan->verdict);
	message->allocs_per_second = plan->allocs_per_second;
	message->sample_bytes = plan->sample_bytes;
	message->cost_percent = plan->cost_percent;
	message->cost_at_most_percent = plan->cost_at_most_percent;
	message->cost_basis = text(&failed, plan->cost_basis);
	if (!failed)
		return message;
	dhat__plan__free_unpacked(message, NULL);
	return NULL;
}

static Dhat__Process *new_process(bool *failed, const struct process_entry *from)
{
	Dhat__Process *process = NEW(Dhat__Process, dhat__process__init);

	if (!process) {
		*failed = true;
		return NULL;
	}
	process->pid = from->pid;
	process->uid = from->uid;
	process->rss_bytes = from->rss_bytes;
	process->anonymous_bytes = from->anonymous_bytes;
	process->swap_bytes = from->swap_bytes;
	process->grown_bytes = from->grown_bytes;
	process->program = text(failed, from->program);
	process->allocator = text(failed, from->allocator);
	return process;
}

Dhat__Processes *message_processes(const struct processes *processes, size_t top)
{
	Dhat__Processes *message = NEW(Dhat__Processes, dhat__processes__init);
	size_t count = processes->count < top ? processes->count : top;
	bool failed = false;

	if (!message)
		return NULL;
	message->duration_ns = processes->duration_ns;
	message->count = processes->count;
	message->list = array(&failed, count, sizeof(*message->list));
	for (size_t i = 0; message->list && i < count && !failed; i++) {
		message->list[i] = new_process(&failed, &processes->entries[i]);
		message->n_list += message->list[i] != NULL;
	}
	if (!failed)
		return message;
	dhat__processes__free_unpacked(message, NULL);
	return NULL;
}
