/* Looking after what a target has mapped: new objects are probed and get their tables. */
#include "private.h"

#include "daemon/lookup/tables.h"
#include "daemon/object/machine/machine.h"
#include "daemon/proc/procmaps.h"
#include "daemon/proc/status.h"
#include "daemon/source/uprobes.h"
#include "preflight.h"
#include "proto/base/cleanup.h"
#include "run.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Tell the kernel side. Holder of map_lock. */
static int publish(struct target *target, uint32_t epoch)
{
	_cleanup_free_ struct dhat_mapping *list = NULL;
	size_t count = 0;
	int error = objects_list(&target->objects, &list, &count);

	if (error)
		return error;
	tracer_set_mappings(target->tracer, list, count, epoch);
	objects_told(&target->objects);
	return 0;
}

static int open_object(struct target *target, uint32_t object)
{
	const struct objects_opener opener = {
		.pid = target->pid,
		.worker = target->services.worker,
		.question = {
			.customs = target->options.custom,
			.use_exit_probes = target->avoids_return_probes,
			.may_execute = uprobes_may_execute(target->kind),
			.use_result_sites = uprobes_use_results(target->kind, target->options.sites),
			.wants_mappers = target->options.anonymous_memory,
			.wants_candidates = target_may_try(target),
		},
	};
	_cleanup_free_ char *path = NULL;

	target_lock(target);
	path = strdup(mappings_object(target->mappings, object)->path ?: "");
	target_unlock(target);
	if (!path)
		return -ENOMEM;
	objects_open(&target->objects, object, path, &opener);
	return 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

static int check_machine(const struct target *target, struct dhat_error *err)
{
	for (size_t i = 0; i < target->objects.count; i++) {
		const struct survey *survey = objects_at(&target->objects, i)->survey;
		const struct object_desc *desc = survey ? &survey->desc : NULL;

		if (desc && (desc->elf_class != ELFCLASS64 || desc->machine != this_machine.elf))
			return dhat_error_set(err, ENOTSUP, DHAT_EXIT_UNSUITABLE,
					      "process %d runs %s code: dhatd profiles %s programs "
					      "only",
					      (int)target->pid,
					      desc->elf_class != ELFCLASS64 ? "32-bit" : "foreign",
					      this_machine.name);
	}
	return 0;
}

static void note_copied(struct target *target, const struct procmaps *maps)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };

	preflight_copied(&preflight, maps);
	target->has_copied_code = preflight.count > 0;
	for (size_t i = 0; i < preflight.count; i++)
		findings_note(&target->findings, preflight.hazards[i].detail);
}

/* As the kernel side counts them: see struct unwind_control. */
static uint64_t executable_bytes(const struct proc_status *status, const struct procmaps *maps)
{
	uint64_t bytes = status->executable_bytes;

	for (size_t i = 0; i < maps->count; i++)
		if (bytes && !strcmp(maps->entries[i].path, "[uprobes]"))
			bytes -= maps->entries[i].end - maps->entries[i].start;
	return bytes;
}

/* Stacks are resolved by the mappings of their time, so what we have seen may only be told to the
 * collector when it is at the same epoch. If not, the records tell: bpf/unwind_maps.h. */
static int read_maps(struct target *target, uint32_t epoch, uint64_t *ret_executable_bytes,
		     struct dhat_error *err)
{
	struct proc_status status = { 0 };
	struct procmaps maps = { 0 };
	int error;

	proc_status_read(target->pid, &status); /* before the maps: what comes between is noticed */
	error = procmaps_read(target->pid, &maps);
	if (error == -ESRCH || (error == 0 && maps.count == 0)) {
		procmaps_deinit(&maps);
		return dhat_error_set(
			err, ESRCH, DHAT_EXIT_NO_PROCESS,
			"process %d has no memory: it has ended, or is a kernel thread",
			(int)target->pid);
	}
	if (error)
		return dhat_error_errno(err, -error, "cannot read /proc/%d/maps", (int)target->pid);
	if (target->is_observed)
		target_drain_now(target);
	if (!target->is_observed)
		note_copied(target, &maps);
	if (target->has_copied_code && !target->is_observed)
		target_look_at_copied(target, &maps);
	target_lock(target);
	if (target->collector_epoch == epoch)
		objects_sync(target->mappings, &maps);
	error = objects_look(&target->objects, target->mappings, &maps);
	target_unlock(target);
	*ret_executable_bytes = executable_bytes(&status, &maps);
	procmaps_deinit(&maps);
	return error;
}

/* Is it still mapped? What was unmapped meanwhile could not be opened for that. */
static bool is_still_there(const struct target *target, const struct object_slot *slot)
{
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };

	int error = procmaps_read(target->pid, &maps);

	if (error)
		return error != -ESRCH;
	for (size_t i = 0; i < maps.count; i++)
		if (maps.entries[i].is_executable && maps.entries[i].inode == slot->inode &&
		    !strcmp(maps.entries[i].path, slot->path))
			return true;
	return false;
}

#define UNREAD_MAX 4 /* files that are told of one by one */

static int say_unread(struct target *target, uint32_t object)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	int error = 0;
	uint32_t count;

	if (!is_still_there(target, slot))
		return 0;
	/* the thread may have left just then by which the file was asked for */
	if (slot->fd < 0)
		error = open_object(target, object);
	if (error || !slot->is_unread)
		return error;
	count = ++target->probed.unread_files;
	if (count <= UNREAD_MAX)
		return findings_partial(&target->findings, slot->path, 0,
					"%s could not be read: %s. If it holds an allocator, what "
					"that hands out is not counted",
					slot->path, slot->failure ?: "not enough memory");
	return findings_partial(&target->findings, "unread files", 0,
				"%u more files could not be read: what an allocator in there hands "
				"out is not counted",
				count - UNREAD_MAX);
}

/* Once a target is observed, what cannot be probed is no reason to end: it is said. */
static int say_unprobed(struct target *target, const struct object_slot *slot, int error,
			const struct dhat_error *why)
{
	char note[768];

	if (error == -ESRCH || error == -ECANCELED)
		return error;
	target_lock(target);
	target->probed.unseen_functions++;
	target_unlock(target);
	snprintf(note, sizeof(note), "%.200s, which was loaded late, could not be probed: %.400s",
		 slot->path, *why->message ? why->message : strerror(-error));
	return findings_note(&target->findings, note);
}

int target_look(struct target *target, struct dhat_error *err)
{
	bool is_first = !target->is_observed;
	uint32_t epoch = tracer_epoch(target->tracer);
	uint64_t executable = 0;
	int error = read_maps(target, epoch, &executable, err);

	for (uint32_t i = 0; error == 0 && i < target->objects.count; i++) {
		struct dhat_error why = { 0 };

		if (objects_at(&target->objects, i)->was_tried)
			continue;
		error = open_object(target, i);
		if (error || !objects_at(&target->objects, i)->was_tried)
			continue; /* known by a record only: it was gone before we came */
		if (objects_at(&target->objects, i)->is_unread)
			error = say_unread(target, i);
		if (error == 0)
			error = target_probe_object(target, i, is_first ? err : &why);
		if (error && !is_first)
			error = say_unprobed(target, objects_at(&target->objects, i), error, &why);
	}
	if (error == 0 && is_first)
		error = check_machine(target, err);
	if (error == 0)
		error = publish(target, epoch);
	if (error == 0)
		tracer_set_executable_bytes(target->tracer, executable);
	return error;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static struct object_identity identity_of(const struct target *target,
					  const struct object_slot *slot)
{
	return (struct object_identity){
		.build_id = slot->build_id,
		.build_id_size = slot->build_id_size,
		.is_image = slot->is_vdso,
		.image_owner = target->identity.uid,
	};
}

/* Within --max-memory, for the kernel side. */
static int use_table(struct target *target, uint32_t object, const struct table *table,
		     struct dhat_error *why)
{
	int error = target_charge_table(target, table->bytes, why);
	char name[64], note[512];

	if (error) {
		objects_name(&target->objects, object, name, sizeof(name));
		snprintf(note, sizeof(note), "stacks end early in %s: %.400s", name, why->message);
		findings_note(&target->findings, note);
		return error;
	}
	error = tracer_set_table(target->tracer, object, table->map_fd);
	if (error)
		target_discharge_table(target, table->bytes);
	return error ? dhat_error_errno(why, -error, "the kernel does not take its unwind table")
		     : 0;
}

static void tell_unread(struct target *target, uint32_t object, uint32_t count)
{
	char name[128], text[512];

	objects_name(&target->objects, object, name, sizeof(name));
	snprintf(text, sizeof(text),
		 "%" PRIu32 " functions of %s have no unwind rules and were not read for them "
		 "either: a file may take some seconds (20 Mi instructions); stacks that lead "
		 "through "
		 "them go by frame pointers, or end there and say so",
		 count, name);
	findings_note(&target->findings, text);
}

/* A table takes seconds to build, and map_lock is given up meanwhile: a detach, or the process's
 * end, need not wait for it. Nobody else changes a slot that was tried; only the mapper, who is
 * here, grows the list of them. */
static void get_table(struct target *target, uint32_t object)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	struct object_identity identity = identity_of(target, slot);
	const struct table *table = NULL;
	struct dhat_error why = { 0 };
	int error = 0;

	if (slot->fd >= 0 && slot->survey && object < DHAT_MAX_TABLES) {
		pthread_mutex_unlock(&target->map_lock);
		error = tables_get(target->services.tables, slot->fd, &identity, &table, &why);
		pthread_mutex_lock(&target->map_lock);
		if (target->is_finished) {
			tables_put(target->services.tables, table);
			return;
		}
	}
	if (table && table->map_fd >= 0) {
		error = use_table(target, object, table, &why);
		if (error)
			tables_put(target->services.tables, take_ptr(table));
	}
	objects_set_table(&target->objects, object, table, error ? why.message : NULL);
	if (table && table->unread_functions)
		tell_unread(target, object, table->unread_functions);
}

/* Code of which a table is built in a fraction of a second: some 10 MB/s on a busy machine. */
#define SMALL_CODE_BYTES (4u << 20)

static bool is_quickly_had(struct target *target, const struct object_slot *slot)
{
	struct object_identity identity = identity_of(target, slot);

	return slot->code_bytes <= SMALL_CODE_BYTES || slot->fd < 0 ||
	       tables_are_kept(target->services.tables, slot->fd, &identity);
}

/* Small ones first: a stack may lead through many files, and one large one takes its time. */
void target_get_tables(struct target *target, uint32_t epoch, uint64_t until_ns)
{
	uint32_t count = target->objects.count;

	for (uint32_t i = 0; i < 2 * count && !target->is_ending; i++) {
		uint32_t object = i < count ? i : i - count;
		const struct object_slot *slot = objects_at(&target->objects, object);
		bool is_turn = i >= count || slot->code_bytes <= SMALL_CODE_BYTES;

		if (!is_turn || slot->table_was_tried || !slot->was_tried ||
		    !objects_is_mapped(&target->objects, object))
			continue;
		if (until_ns &&
		    (clock_now_ns(CLOCK_MONOTONIC) > until_ns || !is_quickly_had(target, slot)))
			continue;
		get_table(target, object);
		if (!target->is_finished) /* tracer is there as long as it is not */
			publish(target, epoch);
	}
}

static void drop_unused_tables(struct target *target)
{
	for (uint32_t i = 0; i < target->objects.count; i++) {
		if (!objects_at(&target->objects, i)->table ||
		    objects_is_mapped(&target->objects, i))
			continue;
		tracer_set_table(target->tracer, i, -1);
		target_discharge_table(target, objects_at(&target->objects, i)->table->bytes);
		objects_drop_table(&target->objects, i, target->services.tables);
	}
}

/* As long as an attach takes, at the most, it stands still for the tables of what it has loaded:
 * stacks are whole then from the first one on. Those that take longer come meanwhile. */
#define STOPPED_NS 1000000000ull

/* `dhatd run`: it was stopped by its own BPF program (lifecycle.h) before the record came by which
 * we know. What is stopped by an exec is target_run_on()'s. */
void target_let_go_on(struct target *target)
{
	if (atomic_exchange(&target->is_stopped, false))
		target_send_on(target);
}

/* What could not be looked at for want of a descriptor, or of memory, is later. */
#define LOOK_AGAIN_NS 1000000000ull

static void look_again_after(struct target *target, int error)
{
	bool is_over = error == 0 || error == -ESRCH || error == -ECANCELED;

	atomic_store(&target->look_again_ns,
		     is_over ? 0 : clock_now_ns(CLOCK_MONOTONIC) + LOOK_AGAIN_NS);
}

void target_look_soon(struct target *target)
{
	uint64_t none = 0;

	atomic_compare_exchange_strong(&target->look_again_ns, &none,
				       clock_now_ns(CLOCK_MONOTONIC) + LOOK_AGAIN_NS);
}

bool target_has_look_due(const struct target *target, uint64_t now_ns)
{
	uint64_t due_ns = atomic_load(&target->look_again_ns);

	return due_ns && now_ns >= due_ns;
}

void target_map_work(struct target *target)
{
	uint32_t epoch;

	pthread_mutex_lock(&target->map_lock);
	for (int i = 0; i < 100 && !target->is_ending; i++) {
		int error;

		epoch = tracer_epoch(target->tracer);
		tracer_read_unread(target->tracer);
		error = target_look(target, NULL);
		look_again_after(target, error);
		target_search_copies(target, false); /* at once: it may be called soon */
		target_restore_places(target);
		if (error == 0 && atomic_load(&target->is_stopped))
			target_get_tables(target, epoch,
					  clock_now_ns(CLOCK_MONOTONIC) + STOPPED_NS);
		target_let_go_on(target);
		if (error == 0)
			target_get_tables(target, epoch, 0);
		if (error || target->is_finished)
			break;
		drop_unused_tables(target);
		tracer_forget_old_stacks(target->tracer);
		if (tracer_epoch(target->tracer) == epoch)
			break;
	}
	target_let_go_on(target);
	pthread_mutex_unlock(&target->map_lock);
}

void target_forget_objects(struct target *target)
{
	objects_clear(&target->objects, target->services.tables);
	target_forget_probes(target);
	places_clear(&target->places);
	target_forget_hidden(target);
	findings_forget(&target->findings);
}
