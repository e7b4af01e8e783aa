/* What code the target has: mappings, the objects behind them, their tables. */
#include "private.h"

#include "daemon/lookup/tables.h"
#include "daemon/object/sites/custom.h"
#include "daemon/proc/mapfile.h"
#include "daemon/proc/procmaps.h"
#include "daemon/worker/worker.h"
#include "preflight.h"
#include "proto/base/cleanup.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_OBJECTS 4096 /* descriptors and descriptions kept for one target */

/* ---- mappings -------------------------------------------------------------------------------- */

static bool is_code_of_object(const struct procmaps_entry *entry)
{
	return entry->is_executable && (entry->inode != 0 || strcmp(entry->path, "[vdso]") == 0);
}

static bool is_still_mapped(const struct mapping *mapping, const struct mapped_object *object,
			    const struct procmaps *maps)
{
	for (size_t i = 0; i < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];

		if (is_code_of_object(entry) && entry->start <= mapping->start &&
		    mapping->end <= entry->end && entry->inode == object->inode &&
		    entry->file_offset - entry->start == mapping->file_offset - mapping->start)
			return true;
	}
	return false;
}

/* With `lock`: a slot for every object that has a number. */
static int grow_slots(struct target *target)
{
	size_t count = mappings_object_count(target->mappings);
	struct object_slot *slots;

	if (count <= target->object_count)
		return 0;
	slots = reallocarray(target->objects, count, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	target->objects = slots;
	for (size_t i = target->object_count; i < count; i++)
		slots[i] = (struct object_slot){ .fd = -1 };
	target->object_count = count;
	return 0;
}

/* With `lock`: keep what was looked at, with the paths that records do not tell. */
static int keep_seen(struct target *target, const struct procmaps *maps)
{
	struct mapping *seen = calloc(maps->count + 1, sizeof(*seen));
	size_t count = 0;

	if (!seen)
		return -ENOMEM;
	for (size_t i = 0; i < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];
		struct mapping *mapping = &seen[count];

		if (!is_code_of_object(entry) ||
		    mappings_know(target->mappings, entry->start, entry->end, entry->inode,
				  entry->dev_major, entry->dev_minor, entry->path,
				  &mapping->object))
			continue;
		mapping->start = entry->start;
		mapping->end = entry->end;
		mapping->file_offset = entry->file_offset;
		count++;
	}
	free(target->seen);
	target->seen = seen;
	target->seen_count = count;
	return grow_slots(target);
}

/* With `lock`: make mappings what /proc/PID/maps says. */
static void sync_mappings(struct target *target, const struct procmaps *maps)
{
	struct mappings *mappings = target->mappings;

	for (size_t i = mappings_count(mappings); i-- > 0;) {
		struct mapping mapping = *mappings_at(mappings, i);

		if (!is_still_mapped(&mapping, mappings_object(mappings, mapping.object), maps))
			mappings_remove(mappings, mapping.start, mapping.end);
	}
	for (size_t i = 0; i < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];

		if (is_code_of_object(entry))
			mappings_add(mappings, entry->start, entry->end, entry->file_offset,
				     entry->inode, entry->dev_major, entry->dev_minor, entry->path,
				     NULL);
	}
}

/* load bias of an object where it is mapped: gABI 5, "Base Address" */
static bool find_bias(const struct object_desc *desc, const struct mapping *mapping, uint64_t *ret)
{
	for (size_t i = 0; i < desc->segment_count; i++) {
		const struct object_segment *segment = &desc->segments[i];
		uint64_t first = segment->file_offset & ~((uint64_t)sysconf(_SC_PAGESIZE) - 1);

		if (segment->is_executable && mapping->file_offset >= first &&
		    mapping->file_offset < segment->file_offset + segment->file_size) {
			*ret = mapping->start - mapping->file_offset + segment->file_offset -
			       segment->vaddr;
			return true;
		}
	}
	return false;
}

/* Tell the kernel side. Holder of map_lock. */
static int publish(struct target *target, uint32_t epoch)
{
	_cleanup_free_ struct dhat_mapping *list = NULL;
	size_t count = target->seen_count;

	target_lock(target);
	list = calloc(count + 1, sizeof(*list));
	for (size_t i = 0; list && i < count; i++) {
		const struct mapping *mapping = &target->seen[i];
		const struct object_slot *slot = &target->objects[mapping->object];
		uint64_t bias = 0;

		list[i] = (struct dhat_mapping){
			.start = mapping->start,
			.end = mapping->end,
			.file_offset = mapping->file_offset,
			.inode = mappings_object(target->mappings, mapping->object)->inode,
			.kind = slot->table_was_tried ? DHAT_MAPPING_NO_TABLE
						      : DHAT_MAPPING_PENDING,
		};
		if (slot->table && slot->table->map_fd >= 0 && slot->desc &&
		    find_bias(slot->desc, mapping, &bias)) {
			list[i].kind = DHAT_MAPPING_TABLE;
			list[i].table_slot = slot->table_slot;
			list[i].table_bias = bias + slot->table->first_page_vaddr;
		}
	}
	target_unlock(target);
	if (!list)
		return -ENOMEM;
	tracer_set_mappings(target->tracer, list, count, epoch);
	return 0;
}

/* ---- objects --------------------------------------------------------------------------------- */

/* Our own vDSO is the target's: there is one for each ABI of a kernel. */
static int open_vdso(size_t size)
{
	_cleanup_close_ int fd = memfd_create("vdso", MFD_CLOEXEC);
	const void *image = (const void *)getauxval(AT_SYSINFO_EHDR);

	if (fd < 0 || !image || write(fd, image, size) != (ssize_t)size)
		return -1;
	return take_fd(fd);
}

static void set_failure(struct object_slot *slot, const char *text)
{
	free(slot->failure);
	slot->failure = strdup(text);
}

/* Open and describe one object. Its slot is the caller's alone: `lock` guards what others read. */
static void open_object(struct target *target, uint32_t object)
{
	struct object_slot found = { .fd = -1, .was_tried = true };
	struct object_slot *slot;
	struct mapping mapping = { 0 };
	struct dhat_error why = { 0 };
	bool is_mapped = false;
	char *path = NULL;
	uint64_t inode;

	target_lock(target);
	for (size_t i = 0; i < target->seen_count; i++) {
		const struct mapping *at = &target->seen[i];

		if (at->object != object)
			continue;
		found.code_bytes += at->end - at->start;
		mapping = *at;
		is_mapped = true;
	}
	found.is_vdso = mappings_object(target->mappings, object)->is_vdso;
	inode = mappings_object(target->mappings, object)->inode;
	path = strdup(mappings_object(target->mappings, object)->path ?: "");
	target_unlock(target);

	found.path = path;
	/* one that was unmapped meanwhile may still be had by its path */
	if (path && object < MAX_OBJECTS)
		found.fd = found.is_vdso ? open_vdso(mapping.end - mapping.start)
					 : mapfile_open(target->pid, mapping.start, mapping.end,
							path, inode);
	found.was_tried = is_mapped || found.fd >= 0;
	if (found.fd < 0)
		set_failure(&found, "the file could not be opened");
	else if (worker_describe(target->services.worker, found.fd, target->customs->names,
				 &found.desc, &why))
		set_failure(&found, why.message);
	if (found.desc) {
		found.build_id_size = found.desc->build_id_size;
		memcpy(found.build_id, found.desc->build_id, sizeof(found.build_id));
	}
	target_lock(target);
	slot = &target->objects[object];
	free(slot->path); /* of a try when it was not there */
	free(slot->failure);
	*slot = found;
	target_unlock(target);
}

/* ---- looking --------------------------------------------------------------------------------- */

static int check_machine(const struct target *target, struct dhat_error *err)
{
	for (size_t i = 0; i < target->object_count; i++) {
		const struct object_desc *desc = target->objects[i].desc;

		if (desc && (desc->elf_class != ELFCLASS64 || desc->machine != EM_X86_64))
			return dhat_error_set(err, ENOTSUP, DHAT_EXIT_UNSUITABLE,
					      "process %d runs %s code: dhatd profiles 64-bit x86 "
					      "programs only",
					      (int)target->pid,
					      desc->elf_class != ELFCLASS64 ? "32-bit" : "foreign");
	}
	return 0;
}

static void note_copied(struct target *target, const struct procmaps *maps)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };

	preflight_copied(&preflight, maps);
	target->has_copied_code = preflight.count > 0;
	target_lock(target);
	for (size_t i = 0; i < preflight.count; i++)
		texts_add_once(&target->notes, preflight.hazards[i].detail);
	target_unlock(target);
}

/* Stacks are resolved by the mappings of their time, so what we have seen may only be told to the
 * collector when it is at the same epoch. If not, the records tell: bpf/unwind_maps.h. */
static int read_maps(struct target *target, uint32_t epoch, struct dhat_error *err)
{
	struct procmaps maps = { 0 };
	int error = procmaps_read(target->pid, &maps);

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
	target_lock(target);
	if (target->collector_epoch == epoch)
		sync_mappings(target, &maps);
	error = keep_seen(target, &maps);
	target_unlock(target);
	procmaps_deinit(&maps);
	return error;
}

int target_look(struct target *target, struct dhat_error *err)
{
	bool is_first = !target->is_observed;
	uint32_t epoch = tracer_epoch(target->tracer);
	int error = read_maps(target, epoch, err);

	for (uint32_t i = 0; error == 0 && i < target->object_count; i++) {
		size_t before = target->probe_count;

		if (target->objects[i].was_tried)
			continue;
		open_object(target, i);
		if (!target->objects[i].was_tried)
			continue; /* known by a record only: it was gone before we came */
		error = target_probe_object(target, i, err);
		if (!is_first && target->probe_count > before)
			target->late_allocators++;
	}
	if (error == 0 && is_first)
		error = check_machine(target, err);
	return error ? error : publish(target, epoch);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static bool is_mapped(const struct target *target, uint32_t object)
{
	for (size_t i = 0; i < target->seen_count; i++)
		if (target->seen[i].object == object)
			return true;
	return false;
}

static void drop_table(struct target *target, uint32_t object)
{
	struct object_slot *slot = &target->objects[object];

	tracer_set_table(target->tracer, slot->table_slot, -1);
	tables_put(target->services.tables, slot->table);
	target_lock(target);
	slot->table = NULL;
	slot->table_was_tried = false;
	target_unlock(target);
}

/* A table takes seconds to build, and map_lock is given up meanwhile: a detach, or the process's
 * end, need not wait for it. Nobody else changes a slot that was tried; only the mapper, who is
 * here, grows the list of them. */
static void get_table(struct target *target, uint32_t object)
{
	struct object_slot *slot = &target->objects[object];
	struct object_identity identity = {
		.build_id = slot->build_id,
		.build_id_size = slot->build_id_size,
		.is_image = slot->is_vdso,
		.image_owner = target->identity.uid,
	};
	const struct table *table = NULL;
	struct dhat_error why = { 0 };

	if (slot->fd >= 0 && slot->desc && object < DHAT_MAX_TABLES) {
		int error;

		pthread_mutex_unlock(&target->map_lock);
		error = tables_get(target->services.tables, slot->fd, &identity, &table, &why);
		pthread_mutex_lock(&target->map_lock);
		if (target->is_finished) {
			tables_put(target->services.tables, table);
			return;
		}
		if (error)
			set_failure(slot, why.message);
	}
	if (table && table->map_fd >= 0 &&
	    tracer_set_table(target->tracer, object, table->map_fd)) {
		tables_put(target->services.tables, table);
		table = NULL;
	}
	target_lock(target);
	slot->table = table;
	slot->table_slot = object;
	slot->table_was_tried = true;
	if (table && table->map_fd < 0)
		set_failure(slot, table->reason);
	target_unlock(target);
}

/* Code of which a table is built in a fraction of a second: some 10 MB/s on a busy machine. */
#define SMALL_CODE_BYTES (4u << 20)

void target_get_tables(struct target *target, uint32_t epoch, uint64_t until_ns)
{
	for (uint32_t i = 0; i < target->object_count && !target->is_ending; i++) {
		struct object_slot *slot = &target->objects[i];

		if (slot->table_was_tried || !slot->was_tried || !is_mapped(target, i))
			continue;
		if (until_ns && (slot->code_bytes > SMALL_CODE_BYTES ||
				 clock_now_ns(CLOCK_MONOTONIC) > until_ns))
			continue;
		get_table(target, i);
		if (!target->is_finished) /* tracer is there as long as it is not */
			publish(target, epoch);
	}
}

uint64_t target_table_bytes(const struct object_slot *slot)
{
	return slot->table ? slot->table->bytes : 0;
}

static void drop_unused_tables(struct target *target)
{
	for (uint32_t i = 0; i < target->object_count; i++)
		if (target->objects[i].table && !is_mapped(target, i))
			drop_table(target, i);
}

void target_map_work(struct target *target)
{
	uint32_t epoch;

	pthread_mutex_lock(&target->map_lock);
	for (int i = 0; i < 100 && !target->is_ending; i++) {
		int error;

		epoch = tracer_epoch(target->tracer);
		error = target_look(target, NULL);
		target_search_copies(target, false); /* at once: it may be called soon */
		target_restore_places(target);
		if (error == 0)
			target_get_tables(target, epoch, 0);
		if (target->options.from_start) /* stopped by its own BPF program: lifecycle.h */
			syscall(SYS_pidfd_send_signal, target->pidfd, SIGCONT, NULL, 0);
		if (error || target->is_finished)
			break;
		drop_unused_tables(target);
		tracer_forget_old_stacks(target->tracer);
		if (tracer_epoch(target->tracer) == epoch)
			break;
	}
	pthread_mutex_unlock(&target->map_lock);
}

void target_drop_tables(struct target *target)
{
	for (uint32_t i = 0; i < target->object_count; i++) {
		struct object_slot *slot = &target->objects[i];

		target_lock(target);
		tables_put(target->services.tables, take_ptr(slot->table));
		object_desc_free(take_ptr(slot->desc));
		target_unlock(target);
	}
}

void target_objects_deinit(struct target *target)
{
	for (size_t i = 0; i < target->object_count; i++) {
		struct object_slot *slot = &target->objects[i];

		tables_put(target->services.tables, slot->table);
		object_desc_free(slot->desc);
		if (slot->fd >= 0)
			close(slot->fd);
		free(slot->path);
		free(slot->failure);
	}
	free(target->objects);
	target->objects = NULL;
	target->object_count = 0;
	free(target->seen);
	target->seen = NULL;
	target->seen_count = 0;
	probes_free(target->probes, target->probe_count);
	target->probes = NULL;
	target->probe_count = 0;
	target_forget_places(target);
	target->unseen_functions = 0;
	texts_free(target->allocators);
	target->allocators = NULL;
	partials_deinit(&target->partials);
}
