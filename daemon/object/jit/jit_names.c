#include "jit_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jit_reader.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct names *, names_free)

const uint8_t *jit_bytes(struct jit_reader *reader, uint64_t at, size_t wanted, size_t *ret_size)
{
	if (at < reader->at || at - reader->at > reader->size ||
	    reader->size - (at - reader->at) < wanted) {
		reader->at = at;
		reader->size = 0;
		while (reader->size < JIT_BUFFER_BYTES) {
			ssize_t n =
				pread(reader->fd, reader->buffer + reader->size,
				      JIT_BUFFER_BYTES - reader->size, (off_t)(at + reader->size));

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return NULL;
			if (n == 0)
				break;
			reader->size += n;
		}
	}
	*ret_size = reader->size - (at - reader->at);
	return reader->buffer + (at - reader->at);
}

/* The places in [start, start + size), from the first on, as long as that is in bounds. */
static struct jit_place *claim_next(struct jit_reader *reader, uint64_t start, uint64_t size,
				    struct jit_place *last)
{
	uint32_t low = 0, high = reader->count;

	if (last)
		low = last - reader->places + 1;
	while (!last && low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (reader->places[middle].addr < start)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == reader->count || reader->places[low].addr - start >= size ||
	    reader->claims >= JIT_MAX_CLAIMS)
		return NULL;
	reader->claims++;
	return &reader->places[low];
}

void jit_claim(struct jit_reader *reader, uint64_t start, uint64_t size, uint64_t name_at,
	       size_t name_size)
{
	struct jit_place *place = NULL;

	while ((place = claim_next(reader, start, size, place))) {
		place->name_at = name_at;
		place->name_size = name_size < JIT_MAX_NAME_BYTES ? name_size : JIT_MAX_NAME_BYTES;
		place->moved_at = 0;
	}
}

void jit_claim_moved(struct jit_reader *reader, uint64_t start, uint64_t size, uint64_t code,
		     uint64_t moved_at)
{
	struct jit_place *place = NULL;

	while ((place = claim_next(reader, start, size, place))) {
		place->name_size = 0;
		place->moved_code = code;
		place->moved_at = moved_at;
	}
}

static int compare(const void *a_, const void *b_)
{
	const struct jit_place *a = a_, *b = b_;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return a->query < b->query ? -1 : a->query > b->query;
}

static int set_name(const struct jit_reader *reader, const struct jit_place *place,
		    struct names *names)
{
	struct name_frame *frame = &names->frames[place->query];
	struct name_location location = { 0 };
	char name[JIT_MAX_NAME_BYTES + 1];
	ssize_t n;

	if (!place->name_size)
		return 0;
	n = pread(reader->fd, name, place->name_size, (off_t)place->name_at);
	if (n <= 0)
		return 0;
	name[n] = '\0';
	location.function = names_intern(names, name);
	if (!location.function)
		return 0;
	frame->first_location = names->location_count;
	frame->location_count = 1;
	return names_add_location(names, &location);
}

static int read_file(struct jit_reader *reader)
{
	size_t size;
	const uint8_t *bytes = jit_bytes(reader, 0, 8, &size);

	if (!bytes)
		return -errno;
	return jit_is_dump(bytes, size) ? jit_read_dump(reader) : jit_read_map(reader);
}

int jit_name(int fd, const struct name_query *queries, uint32_t count, struct names **ret,
	     struct dhat_error *err)
{
	_cleanup_(names_free_ptr) struct names *names = NULL;
	_cleanup_free_ struct jit_place *places = calloc(count + 1ul, sizeof(*places));
	_cleanup_free_ uint8_t *buffer = malloc(JIT_BUFFER_BYTES);
	struct jit_reader reader = { .fd = fd, .places = places, .count = count, .buffer = buffer };
	int r = places && buffer ? names_new(count, &names) : -ENOMEM;

	if (r)
		return dhat_error_errno(err, -r, "cannot name generated code");
	for (uint32_t i = 0; i < count; i++) {
		places[i].query = i;
		places[i].addr = queries[i].file_offset;
		if (!queries[i].is_exact_pc && places[i].addr)
			places[i].addr--;
	}
	qsort(places, count, sizeof(*places), compare);
	r = read_file(&reader);
	for (uint32_t i = 0; i < count && !r; i++)
		r = set_name(&reader, &places[i], names);
	if (r)
		return dhat_error_errno(err, -r, "cannot read the names of generated code");
	*ret = take_ptr(names);
	return 0;
}
