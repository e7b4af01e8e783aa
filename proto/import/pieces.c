#include "pieces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/json_read.h"

#define STOP_BEGIN "[stack ends early: "
#define LEFT_OUT_END " left out]"
#define NO_STACK "[no stack]"
#define MMAP "[mmap]"

struct json_object *pieces_member(struct json_object *object, const char *key, enum json_type type)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

const char *pieces_text(struct json_object *object, const char *key)
{
	struct json_object *value = pieces_member(object, key, json_type_string);

	return value ? json_object_get_string(value) : "";
}

int pieces_number(struct json_object *object, const char *key, uint64_t *ret)
{
	struct json_object *value;

	*ret = 0;
	if (!json_object_object_get_ex(object, key, &value))
		return 0;
	return dhat_json_read_number(value, ret);
}

/* Where it is missing, or says what cannot be, estimate.h, E3 holds. */
static int read_sampled(struct json_object *object, Dhat__ProgramPoint *point)
{
	struct json_object *sampled = pieces_member(object, "sampled", json_type_object);

	if (!sampled)
		return 0;
	point->sampled = pieces_new(&dhat__sampled__descriptor);
	return point->sampled ? dhat_json_read_fields(sampled, &point->sampled->base) : -ENOMEM;
}

int pieces_figures(struct json_object *object, Dhat__ProgramPoint *point)
{
	const struct {
		const char *key;
		uint64_t *value;
	} figures[] = {
		{ "total_bytes", &point->total_bytes },
		{ "total_blocks", &point->total_blocks },
		{ "lifetimes_us", &point->lifetimes_us },
		{ "max_bytes", &point->max_bytes },
		{ "max_blocks", &point->max_blocks },
		{ "peak_bytes", &point->peak_bytes },
		{ "peak_blocks", &point->peak_blocks },
		{ "live_bytes", &point->live_bytes },
		{ "live_blocks", &point->live_blocks },
		{ "first_ns", &point->first_ns },
		{ "last_ns", &point->last_ns },
		{ "longest_freed_us", &point->longest_freed_us },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(figures); i++)
		if (json_object_object_get(object, figures[i].key))
			r = pieces_number(object, figures[i].key, figures[i].value);
	return r < 0 ? r : read_sampled(object, point);
}

int pieces_set_text(char **text, const char *value, size_t length)
{
	char *copy;

	if (**text) /* one is enough */
		return 0;
	copy = strndup(value, length);
	if (!copy)
		return -ENOMEM;
	*text = copy;
	return 0;
}

void *pieces_new(const ProtobufCMessageDescriptor *descriptor)
{
	ProtobufCMessage *message = malloc(descriptor->sizeof_message);

	if (message)
		protobuf_c_message_init(descriptor, message);
	return message;
}

int pieces_add_part(struct dhat_snapshot *snapshot, Dhat__SnapshotPart__PartCase kind,
		    ProtobufCMessage *message, const char *path, struct dhat_error *err)
{
	Dhat__SnapshotPart *part = malloc(sizeof(*part));
	struct dhat_error why = { 0 };
	int r;

	if (!part) {
		protobuf_c_message_free_unpacked(message, NULL);
		return dhat_error_errno(err, ENOMEM, "cannot read %s", path);
	}
	dhat__snapshot_part__init(part);
	part->part_case = kind;
	part->head = (Dhat__SnapshotHead *)message; /* a union of pointers */
	r = dhat_snapshot_add(snapshot, part, &why);
	return r < 0 ? dhat_error_set(err, -r, why.code, "%s: %s", path, why.message) : 0;
}

/* A sum that the file makes too large stays at the largest, and is no other number. */
static void add(uint64_t *sum, uint64_t value)
{
	*sum = *sum + value < *sum ? UINT64_MAX : *sum + value;
}

void pieces_add_up(Dhat__Totals *sums, const Dhat__ProgramPoint *point)
{
	add(&sums->total_bytes, point->total_bytes);
	add(&sums->total_blocks, point->total_blocks);
	add(&sums->peak_bytes, point->peak_bytes);
	add(&sums->peak_blocks, point->peak_blocks);
	add(&sums->live_bytes, point->live_bytes);
	add(&sums->live_blocks, point->live_blocks);
	sums->stack_count += !*point->label;
}

/* ---- notes ------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && !strcmp(text + length - end_length, end);
}

bool pieces_is_left_out(const char *line)
{
	return *line == '[' && ends_with(line, LEFT_OUT_END);
}

int pieces_take_note(const char *line, Dhat__ProgramPoint *point, bool *ret)
{
	size_t length = strlen(line), begin = strlen(STOP_BEGIN);

	*ret = *line != '[' || line[length - 1] != ']' || ends_with(line, LEFT_OUT_END);
	if (*ret || !strcmp(line, NO_STACK))
		return 0;
	if (!strncmp(line, STOP_BEGIN, begin))
		return pieces_set_text(&point->stop, line + begin, length - begin - 1);
	if (!strcmp(line, MMAP))
		return pieces_set_text(&point->kind, line + 1, length - 2);
	return pieces_set_text(&point->label, line, length);
}
