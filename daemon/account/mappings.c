#include "mappings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

struct mappings {
	struct mapping *list; /* sorted by start, none overlapping */
	size_t count, capacity;
	struct mapped_object *objects;
	size_t object_count, object_capacity;
};

void mappings_free(struct mappings *mappings)
{
	if (!mappings)
		return;
	for (size_t i = 0; i < mappings->object_count; i++)
		free(mappings->objects[i].path);
	free(mappings->objects);
	free(mappings->list);
	free(mappings);
}

int mappings_new(struct mappings **ret)
{
	struct mappings *mappings = calloc(1, sizeof(*mappings));

	if (!mappings)
		return -ENOMEM;
	*ret = mappings;
	return 0;
}

/* ---- objects ------------------------------------------------------------------------------ */

static bool is_object(const struct mapped_object *object, uint64_t inode, uint32_t dev_major,
		      uint32_t dev_minor, const char *path)
{
	if (object->inode != inode || object->dev_major != dev_major ||
	    object->dev_minor != dev_minor)
		return false;
	return inode != 0 || strcmp(object->path ?: "", path ?: "") == 0;
}

static int set_path(struct mappings *mappings, uint32_t object, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	free(mappings->objects[object].path);
	mappings->objects[object].path = copy;
	mappings->objects[object].is_vdso = strcmp(copy, "[vdso]") == 0;
	return 0;
}

/* Files are mapped rarely, and mostly again soon: search from the newest. */
int mappings_know(struct mappings *mappings, uint64_t start, uint64_t end, uint64_t inode,
		  uint32_t dev_major, uint32_t dev_minor, const char *path, uint32_t *ret)
{
	struct mapped_object *object;
	int err;

	for (size_t i = mappings->object_count; i-- > 0;) {
		object = &mappings->objects[i];
		if (!is_object(object, inode, dev_major, dev_minor, path))
			continue;
		*ret = i;
		return path && !object->path ? set_path(mappings, i, path) : 0;
	}
	err = mappings->object_count < MAPPINGS_MAX_OBJECTS
		      ? array_make_room(&mappings->objects, &mappings->object_capacity,
					mappings->object_count)
		      : -ENOSPC;
	if (err)
		return err;
	object = &mappings->objects[mappings->object_count];
	*object = (struct mapped_object){
		.inode = inode,
		.dev_major = dev_major,
		.dev_minor = dev_minor,
		.some_start = start,
		.some_end = end,
	};
	if (path) {
		err = set_path(mappings, mappings->object_count, path);
		if (err)
			return err;
	}
	*ret = mappings->object_count++;
	return 0;
}

/* ---- mappings ----------------------------------------------------------------------------- */

/* Number of the first mapping that ends above addr. */
static size_t first_above(const struct mappings *mappings, uint64_t addr)
{
	size_t low = 0, high = mappings->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mappings->list[middle].end > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

const struct mapping *mappings_find(const struct mappings *mappings, uint64_t addr)
{
	size_t i = first_above(mappings, addr);

	return i < mappings->count && mappings->list[i].start <= addr ? &mappings->list[i] : NULL;
}

static int insert_at(struct mappings *mappings, size_t i, const struct mapping *mapping)
{
	int err = mappings->count < MAPPINGS_MAX
			  ? array_make_room(&mappings->list, &mappings->capacity, mappings->count)
			  : -ENOSPC;

	if (err)
		return err;
	memmove(mappings->list + i + 1, mappings->list + i,
		(mappings->count - i) * sizeof(*mapping));
	mappings->list[i] = *mapping;
	mappings->count++;
	return 0;
}

int mappings_remove(struct mappings *mappings, uint64_t start, uint64_t end)
{
	size_t first, last;

	if (start >= end)
		return 0;
	first = first_above(mappings, start);
	if (first < mappings->count && mappings->list[first].start < start) {
		struct mapping *cut = &mappings->list[first++];
		struct mapping rest = {
			.start = end,
			.end = cut->end,
			.file_offset = cut->file_offset + (end - cut->start),
			.object = cut->object,
		};

		cut->end = start;
		if (rest.end > rest.start)
			return insert_at(mappings, first, &rest);
	}
	for (last = first; last < mappings->count && mappings->list[last].end <= end; last++)
		;
	if (last < mappings->count && mappings->list[last].start < end) {
		mappings->list[last].file_offset += end - mappings->list[last].start;
		mappings->list[last].start = end;
	}
	if (last > first)
		memmove(mappings->list + first, mappings->list + last,
			(mappings->count - last) * sizeof(*mappings->list));
	mappings->count -= last - first;
	return 0;
}

int mappings_add(struct mappings *mappings, uint64_t start, uint64_t end, uint64_t file_offset,
		 uint64_t inode, uint32_t dev_major, uint32_t dev_minor, const char *path,
		 uint32_t *ret_object)
{
	struct mapping mapping = { .start = start, .end = end, .file_offset = file_offset };
	int err, removed;

	if (start >= end)
		return -EINVAL;
	/* Even when nothing can be added: what was there is not there any more. */
	removed = mappings_remove(mappings, start, end);
	err = mappings_know(mappings, start, end, inode, dev_major, dev_minor, path,
			    &mapping.object);
	if (!err)
		err = insert_at(mappings, first_above(mappings, start), &mapping);
	if (err)
		return err;
	if (ret_object)
		*ret_object = mapping.object;
	return removed;
}

size_t mappings_count(const struct mappings *mappings)
{
	return mappings->count;
}

const struct mapping *mappings_at(const struct mappings *mappings, size_t i)
{
	return &mappings->list[i];
}

size_t mappings_object_count(const struct mappings *mappings)
{
	return mappings->object_count;
}

const struct mapped_object *mappings_object(const struct mappings *mappings, uint32_t object)
{
	return &mappings->objects[object];
}
