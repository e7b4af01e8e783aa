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

/* FNV-1a */
static uint64_t hash_of(const uint8_t *bytes, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

static bool is_same(const struct jit_code *a, const struct jit_code *b)
{
	if (a->moved_at || b->moved_at)
		return a->moved_at && b->moved_at && a->moved_code == b->moved_code;
	return a->hash == b->hash && a->name_size == b->name_size;
}

/* What is there before the place was first on a stack makes room; what comes after it was last on
 * one was never seen. */
static void put_code(struct jit_place *place, const struct jit_code *code, uint64_t since_ns)
{
	bool has_time = since_ns != JIT_AT_ANY_TIME;

	if (has_time && since_ns > place->last_ns && place->code_count)
		return;
	if (has_time && since_ns <= place->first_ns) {
		place->code_count = 0;
		place->had_others = false;
	}
	for (uint32_t i = 0; i < place->code_count; i++)
		if (is_same(&place->codes[i], code))
			return;
	if (place->code_count == JIT_CODES) {
		memmove(place->codes, place->codes + 1, (JIT_CODES - 1) * sizeof(*place->codes));
		place->code_count--;
		place->had_others = true;
	}
	place->codes[place->code_count++] = *code;
}

void jit_claim(struct jit_reader *reader, const struct jit_entry *entry)
{
	size_t in_reach =
		entry->name_size < JIT_MAX_NAME_BYTES ? entry->name_size : JIT_MAX_NAME_BYTES;
	struct jit_place *place = claim_next(reader, entry->start, entry->size, NULL);
	struct jit_code code = {
		.name_at = entry->name_at,
		.name_size = entry->name_size <= JIT_MAX_NAME_BYTES ? entry->name_size
								    : JIT_MAX_NAME_BYTES + 1,
		.moved_code = entry->moved_code,
		.moved_at = entry->moved_at,
	};

	if (place && entry->name)
		code.hash = hash_of(entry->name, in_reach);
	for (; place; place = claim_next(reader, entry->start, entry->size, place))
		put_code(place, &code, entry->since_ns);
}

static int compare(const void *a_, const void *b_)
{
	const struct jit_place *a = a_, *b = b_;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return a->query < b->query ? -1 : a->query > b->query;
}

#define ELLIPSIS "…"

/* "" if there is none, or the file has become shorter meanwhile. */
static void read_name(const struct jit_reader *reader, const struct jit_code *code,
		      char ret[JIT_MAX_NAME_BYTES + sizeof(ELLIPSIS)])
{
	size_t size = code->name_size < JIT_MAX_NAME_BYTES ? code->name_size : JIT_MAX_NAME_BYTES;
	ssize_t n = size ? pread(reader->fd, ret, size, (off_t)code->name_at) : 0;

	ret[n > 0 ? n : 0] = '\0';
	if (n <= 0 || code->name_size <= JIT_MAX_NAME_BYTES)
		return;
	while (n > 0 && ((uint8_t)ret[n - 1] & 0xc0) == 0x80) /* not within a character */
		n--;
	strcpy(ret + (n > 0 ? n - 1 : 0), ELLIPSIS);
}

static const char *or_unnamed(const char *name)
{
	return *name ? name : "unnamed code";
}

/* The later one first. */
static void write_name(const struct jit_reader *reader, const struct jit_place *place, char *ret,
		       size_t size)
{
	char later[JIT_MAX_NAME_BYTES + sizeof(ELLIPSIS)] = "", earlier[sizeof(later)] = "";

	if (place->code_count)
		read_name(reader, &place->codes[place->code_count - 1], later);
	if (place->code_count == JIT_CODES)
		read_name(reader, &place->codes[0], earlier);
	if (place->code_count < JIT_CODES || (!place->had_others && !strcmp(later, earlier)))
		snprintf(ret, size, "%s", later);
	else
		snprintf(ret, size, "%s or %s%s (its address was used again)", or_unnamed(later),
			 or_unnamed(earlier), place->had_others ? " or others" : "");
}

static int set_name(const struct jit_reader *reader, const struct jit_place *place,
		    struct names *names)
{
	struct name_frame *frame = &names->frames[place->query];
	struct name_location location = { 0 };
	char name[3 * JIT_MAX_NAME_BYTES];

	write_name(reader, place, name, sizeof(name));
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

int jit_name(int fd, const struct jit_query *queries, uint32_t count, struct names **ret,
	     struct dhat_error *err)
{
	_cleanup_(names_free_ptr) struct names *names = NULL;
	_cleanup_free_ struct jit_place *places = calloc(count + 1ul, sizeof(*places));
	_cleanup_free_ uint8_t *buffer = malloc(JIT_BUFFER_BYTES);
	_cleanup_free_ struct jit_code **moved = NULL;
	struct jit_reader reader = { .fd = fd, .places = places, .count = count, .buffer = buffer };
	int r = places && buffer ? names_new(count, &names) : -ENOMEM;

	if (r)
		return dhat_error_errno(err, -r, "cannot name generated code");
	for (uint32_t i = 0; i < count; i++) {
		places[i].query = i;
		places[i].addr = queries[i].place.file_offset;
		places[i].first_ns = queries[i].first_ns;
		places[i].last_ns = queries[i].last_ns;
		if (!queries[i].place.is_exact_pc && places[i].addr)
			places[i].addr--;
	}
	qsort(places, count, sizeof(*places), compare);
	r = read_file(&reader);
	moved = reader.moved;
	for (uint32_t i = 0; i < count && !r; i++)
		r = set_name(&reader, &places[i], names);
	if (r)
		return dhat_error_errno(err, -r, "cannot read the names of generated code");
	*ret = take_ptr(names);
	return 0;
}
