#include "objects.h"

#include "daemon/lookup/tables.h"
#include "daemon/proc/mapfile.h"
#include "daemon/worker/worker.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- begin and end --------------------------------------------------------------------------- */

void objects_init(struct objects *objects)
{
	*objects = (struct objects){ 0 };
	pthread_mutex_init(&objects->lock, NULL);
}

void objects_clear(struct objects *objects, struct tables *tables)
{
	for (size_t i = 0; i < objects->count; i++) {
		struct object_slot *slot = &objects->slots[i];

		tables_put(tables, slot->table);
		survey_free(slot->survey);
		if (slot->fd >= 0)
			close(slot->fd);
		free(slot->path);
		free(slot->failure);
	}
	free(objects->slots);
	objects->slots = NULL;
	objects->count = 0;
	free(objects->seen);
	objects->seen = NULL;
	objects->seen_count = 0;
}

void objects_deinit(struct objects *objects, struct tables *tables)
{
	objects_clear(objects, tables);
	pthread_mutex_destroy(&objects->lock);
}

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

void objects_sync(struct mappings *mappings, const struct procmaps *maps)
{
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

/* With `lock`: a slot for every object that has a number. */
static int grow_slots(struct objects *objects, const struct mappings *mappings)
{
	size_t count = mappings_object_count(mappings);
	struct object_slot *slots;

	if (count <= objects->count)
		return 0;
	slots = reallocarray(objects->slots, count, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	objects->slots = slots;
	for (size_t i = objects->count; i < count; i++)
		slots[i] = (struct object_slot){
			.fd = -1,
			.inode = mappings_object(mappings, i)->inode,
			.is_vdso = mappings_object(mappings, i)->is_vdso,
		};
	objects->count = count;
	return 0;
}

int objects_look(struct objects *objects, struct mappings *mappings, const struct procmaps *maps)
{
	struct mapping *seen = calloc(maps->count + 1, sizeof(*seen));
	size_t count = 0;
	int error;

	if (!seen)
		return -ENOMEM;
	for (size_t i = 0; i < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];
		struct mapping *mapping = &seen[count];

		if (!is_code_of_object(entry) ||
		    mappings_know(mappings, entry->start, entry->end, entry->inode,
				  entry->dev_major, entry->dev_minor, entry->path,
				  &mapping->object))
			continue;
		mapping->start = entry->start;
		mapping->end = entry->end;
		mapping->file_offset = entry->file_offset;
		count++;
	}
	pthread_mutex_lock(&objects->lock);
	error = grow_slots(objects, mappings);
	if (error == 0) {
		free(objects->seen);
		objects->seen = take_ptr(seen);
		objects->seen_count = count;
	}
	pthread_mutex_unlock(&objects->lock);
	free(seen);
	return error;
}

const struct object_slot *objects_at(const struct objects *objects, uint32_t object)
{
	return &objects->slots[object];
}

bool objects_is_mapped(const struct objects *objects, uint32_t object)
{
	for (size_t i = 0; i < objects->seen_count; i++)
		if (objects->seen[i].object == object)
			return true;
	return false;
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

int objects_list(const struct objects *objects, struct dhat_mapping **ret, size_t *ret_count)
{
	struct dhat_mapping *list = calloc(objects->seen_count + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < objects->seen_count; i++) {
		const struct mapping *mapping = &objects->seen[i];
		const struct object_slot *slot = &objects->slots[mapping->object];
		uint64_t bias = 0;

		list[i] = (struct dhat_mapping){
			.start = mapping->start,
			.end = mapping->end,
			.file_offset = mapping->file_offset,
			.inode = slot->inode,
			.kind = slot->table_was_tried ? DHAT_MAPPING_NO_TABLE
						      : DHAT_MAPPING_PENDING,
		};
		if (slot->table && slot->table->map_fd >= 0 && slot->survey &&
		    find_bias(&slot->survey->desc, mapping, &bias)) {
			list[i].kind = DHAT_MAPPING_TABLE;
			list[i].table_slot = mapping->object;
			list[i].table_bias = bias + slot->table->first_page_vaddr;
		}
	}
	*ret = list;
	*ret_count = objects->seen_count;
	return 0;
}

void objects_told(struct objects *objects)
{
	pthread_mutex_lock(&objects->lock);
	for (size_t i = 0; i < objects->count; i++)
		objects->slots[i].table_is_told = objects->slots[i].table_was_tried;
	pthread_mutex_unlock(&objects->lock);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Our own vDSO is the process's: there is one for each ABI of a kernel. */
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

/* Made at run time, in memory: no linker's file. */
static bool is_made_up(const char *path)
{
	return path[0] != '/' || !strncmp(path, "/memfd:", 7) || !strncmp(path, "/dev/", 5) ||
	       !strncmp(path, "/SYSV", 5);
}

static bool is_elf(int fd)
{
	char magic[SELFMAG];

	return pread(fd, magic, SELFMAG, 0) == SELFMAG && !memcmp(magic, ELFMAG, SELFMAG);
}

/* Twice, if it brought down a worker that others may have worn out: the second one is new. */
static int describe(const struct objects_opener *opener, int fd,
		    const struct survey_question *question, struct survey **ret,
		    struct dhat_error *err)
{
	int error = worker_survey(opener->worker, fd, question, ret, err);

	if (error == 0 || error == -ECANCELED || err->code == DHAT_EXIT_BAD_FILE)
		return error;
	*err = (struct dhat_error){ 0 };
	return worker_survey(opener->worker, fd, question, ret, err);
}

void objects_open(struct objects *objects, uint32_t object, const char *path,
		  const struct objects_opener *opener)
{
	struct object_slot *slot = &objects->slots[object];
	struct object_slot found = {
		.fd = -1,
		.inode = slot->inode,
		.is_vdso = slot->is_vdso,
		.was_tried = true,
		.path = strdup(path),
	};
	struct survey_question question = opener->question;
	struct mapping mapping = { 0 };
	struct dhat_error why = { 0 };
	bool is_mapped = false;
	int error = 0;

	for (size_t i = 0; i < objects->seen_count; i++) {
		const struct mapping *at = &objects->seen[i];

		if (at->object != object)
			continue;
		found.code_bytes += at->end - at->start;
		mapping = *at;
		is_mapped = true;
	}
	/* one that was unmapped meanwhile may still be had by its path */
	if (found.path && object < OBJECTS_MAX)
		found.fd = found.is_vdso ? open_vdso(mapping.end - mapping.start)
					 : mapfile_open(opener->pid, mapping.start, mapping.end,
							path, found.inode);
	found.was_tried = is_mapped || found.fd >= 0;
	question.path = path;
	if (found.fd < 0) {
		set_failure(&found, "the file could not be opened");
		found.is_unread = is_mapped && !is_made_up(path);
	} else if ((error = describe(opener, found.fd, &question, &found.survey, &why))) {
		set_failure(&found, why.message);
		found.is_unread = error != -ECANCELED && is_elf(found.fd);
	}
	if (found.survey) {
		found.build_id_size = found.survey->desc.build_id_size;
		memcpy(found.build_id, found.survey->desc.build_id, sizeof(found.build_id));
	}
	pthread_mutex_lock(&objects->lock);
	free(slot->path); /* of a try when it was not there */
	free(slot->failure);
	*slot = found;
	pthread_mutex_unlock(&objects->lock);
}

/* ---- tables ---------------------------------------------------------------------------------- */

void objects_set_table(struct objects *objects, uint32_t object, const struct table *table,
		       const char *why)
{
	struct object_slot *slot = &objects->slots[object];

	pthread_mutex_lock(&objects->lock);
	slot->table = table;
	slot->table_was_tried = true;
	if (why)
		set_failure(slot, why);
	else if (table && table->map_fd < 0)
		set_failure(slot, table->reason);
	pthread_mutex_unlock(&objects->lock);
}

void objects_drop_table(struct objects *objects, uint32_t object, struct tables *tables)
{
	struct object_slot *slot = &objects->slots[object];
	const struct table *table;

	pthread_mutex_lock(&objects->lock);
	table = take_ptr(slot->table);
	slot->table_was_tried = slot->table_is_told = false;
	pthread_mutex_unlock(&objects->lock);
	tables_put(tables, table);
}

void objects_drop_tables(struct objects *objects, struct tables *tables)
{
	for (size_t i = 0; i < objects->count; i++) {
		struct object_slot *slot = &objects->slots[i];
		const struct table *table;

		pthread_mutex_lock(&objects->lock);
		table = take_ptr(slot->table);
		survey_free(take_ptr(slot->survey));
		pthread_mutex_unlock(&objects->lock);
		tables_put(tables, table);
	}
}

/* ---- for any thread -------------------------------------------------------------------------- */

bool objects_next_place(struct objects *objects, uint32_t object, uint64_t file_offset,
			size_t *position, struct mapping *ret, uint64_t *ret_addr)
{
	bool is_found = false;

	pthread_mutex_lock(&objects->lock);
	while (*position < objects->seen_count && !is_found) {
		const struct mapping *at = &objects->seen[(*position)++];

		is_found = at->object == object && file_offset >= at->file_offset &&
			   file_offset - at->file_offset < at->end - at->start;
		if (is_found) {
			*ret = *at;
			*ret_addr = at->start + (file_offset - at->file_offset);
		}
	}
	pthread_mutex_unlock(&objects->lock);
	return is_found;
}

void objects_name(struct objects *objects, uint32_t object, char *ret, size_t size)
{
	const char *path = "";

	pthread_mutex_lock(&objects->lock);
	if (object < objects->count && objects->slots[object].path)
		path = objects->slots[object].path;
	snprintf(ret, size, "%s", dhat_text_base_name(path));
	pthread_mutex_unlock(&objects->lock);
}

uint64_t objects_inode(struct objects *objects, uint32_t object)
{
	uint64_t inode = 0;

	pthread_mutex_lock(&objects->lock);
	if (object < objects->count)
		inode = objects->slots[object].inode;
	pthread_mutex_unlock(&objects->lock);
	return inode;
}

void objects_file(struct objects *objects, uint32_t object, struct objects_file *ret)
{
	*ret = (struct objects_file){ .fd = -1 };
	pthread_mutex_lock(&objects->lock);
	if (object < objects->count) {
		const struct object_slot *slot = &objects->slots[object];

		ret->fd = slot->fd >= 0 ? fcntl(slot->fd, F_DUPFD_CLOEXEC, 3) : -1;
		ret->build_id_size = slot->build_id_size;
		memcpy(ret->build_id, slot->build_id, sizeof(ret->build_id));
	}
	pthread_mutex_unlock(&objects->lock);
}

static uint64_t bytes_of(const struct survey *survey)
{
	if (!survey)
		return 0;
	return sizeof(*survey) +
	       sizeof(struct site) * (survey->allocators.count + survey->mappers.count +
				      survey->customs.count + survey->candidates.count);
}

void objects_sum(struct objects *objects, struct objects_sum *ret)
{
	*ret = (struct objects_sum){ 0 };
	pthread_mutex_lock(&objects->lock);
	ret->own_bytes = objects->seen_count * sizeof(*objects->seen);
	for (size_t i = 0; i < objects->count; i++) {
		const struct object_slot *slot = &objects->slots[i];

		ret->own_bytes += sizeof(*slot) + bytes_of(slot->survey);
		ret->code_bytes += slot->code_bytes;
		ret->table_bytes += slot->table ? slot->table->bytes : 0;
		ret->tables_pending += !slot->table_is_told && objects_is_mapped(objects, i);
		ret->tables_ready += slot->table_is_told && slot->table;
	}
	pthread_mutex_unlock(&objects->lock);
}
