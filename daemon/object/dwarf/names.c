#include "names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct names *, names_free)

int names_new(uint32_t frame_count, struct names **ret)
{
	_cleanup_(names_free_ptr) struct names *names = calloc(1, sizeof(*names));
	uint32_t empty;

	if (!names)
		return -ENOMEM;
	names->frames = calloc(frame_count ? frame_count : 1, sizeof(*names->frames));
	if (!names->frames || interned_add(&names->texts, "", &empty))
		return -ENOMEM;
	names->frame_count = frame_count;
	*ret = take_ptr(names);
	return 0;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	interned_deinit(&names->texts);
	free(names->locations);
	free(names->frames);
	free(names);
}

uint32_t names_intern(struct names *names, const char *string)
{
	uint32_t number;

	return string && !interned_add(&names->texts, string, &number) ? number : 0;
}

int names_add_location(struct names *names, const struct name_location *location)
{
	if (array_make_room(&names->locations, &names->location_capacity, names->location_count))
		return -ENOMEM;
	names->locations[names->location_count++] = *location;
	return 0;
}

void names_put(struct wire_writer *writer, const struct names *names)
{
	wire_put_bytes(writer, names->build_id, names->build_id_size);
	wire_put_u32(writer, names->texts.count);
	for (uint32_t i = 0; i < names->texts.count; i++)
		wire_put_string(writer, names->texts.list[i]);
	wire_put_u32(writer, names->location_count);
	wire_put(writer, names->locations, names->location_count * sizeof(*names->locations));
	wire_put_u32(writer, names->frame_count);
	wire_put(writer, names->frames, names->frame_count * sizeof(*names->frames));
}

static bool are_numbers_in_range(const struct names *names)
{
	for (uint32_t i = 0; i < names->location_count; i++) {
		const struct name_location *at = &names->locations[i];

		if (at->function >= names->texts.count || at->linkage_name >= names->texts.count ||
		    at->file >= names->texts.count)
			return false;
	}
	for (uint32_t i = 0; i < names->frame_count; i++) {
		const struct name_frame *at = &names->frames[i];

		if (at->reason >= names->texts.count ||
		    at->first_location > names->location_count ||
		    at->location_count > names->location_count - at->first_location)
			return false;
	}
	return true;
}

static int get_array(struct wire_reader *reader, size_t element_size, void **ret,
		     uint32_t *ret_count)
{
	uint32_t count = wire_get_count(reader, element_size);
	const void *data = wire_get(reader, count * element_size);
	void *copy;

	if (!data)
		return -EBADMSG;
	copy = malloc(count ? count * element_size : 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, count * element_size);
	*ret = copy;
	*ret_count = count;
	return 0;
}

static int get_strings(struct wire_reader *reader, struct names *names)
{
	/* each has at least its length before it */
	uint32_t count = wire_get_count(reader, sizeof(uint64_t));

	if (!count)
		return -EBADMSG;
	names->texts.list = calloc(count, sizeof(*names->texts.list));
	if (!names->texts.list)
		return -ENOMEM;
	for (; names->texts.count < count; names->texts.count++) {
		names->texts.list[names->texts.count] = wire_get_string(reader);
		if (!names->texts.list[names->texts.count])
			return -EBADMSG;
	}
	return names->texts.list[0][0] ? -EBADMSG : 0;
}

int names_get(struct wire_reader *reader, uint32_t frame_count, struct names **ret)
{
	_cleanup_(names_free_ptr) struct names *names = calloc(1, sizeof(*names));
	const void *build_id;
	size_t size;
	int r;

	if (!names)
		return -ENOMEM;
	build_id = wire_get_bytes(reader, &size);
	if (!build_id || size > sizeof(names->build_id))
		return -EBADMSG;
	memcpy(names->build_id, build_id, size);
	names->build_id_size = size;
	r = get_strings(reader, names);
	if (!r)
		r = get_array(reader, sizeof(*names->locations), (void **)&names->locations,
			      &names->location_count);
	if (!r)
		r = get_array(reader, sizeof(*names->frames), (void **)&names->frames,
			      &names->frame_count);
	if (r)
		return r;
	if (names->frame_count != frame_count || reader->size || !are_numbers_in_range(names))
		return -EBADMSG;
	*ret = take_ptr(names);
	return 0;
}
