#include "json.h"

#include <errno.h>
#include <stdbool.h>

#include "cleanup.h"
#include "text.h"

struct json_object *dhat_json_string(const char *text)
{
	_cleanup_free_ char *clean = dhat_text_clean(text);

	return clean ? json_object_new_string(clean) : NULL;
}

/* One value; `value` points to it, wherever it lies. */
static struct json_object *json_value(const ProtobufCFieldDescriptor *field, const void *value)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		return json_object_new_boolean(*(const protobuf_c_boolean *)value);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_object_new_int64(*(const uint32_t *)value);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return json_object_new_uint64(*(const uint64_t *)value);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_ENUM:
		return json_object_new_int64(*(const int32_t *)value);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return json_object_new_int64(*(const int64_t *)value);
	case PROTOBUF_C_TYPE_FLOAT:
		return json_object_new_double(*(const float *)value);
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_object_new_double(*(const double *)value);
	case PROTOBUF_C_TYPE_STRING:
		return dhat_json_string(*(char *const *)value);
	case PROTOBUF_C_TYPE_MESSAGE:
		return dhat_json_message(*(ProtobufCMessage *const *)value);
	case PROTOBUF_C_TYPE_BYTES:
		return NULL; /* dhat.proto has none */
	}
	return NULL;
}

/* Size of an element of a repeated field, as protobuf-c lays it out. */
static size_t element_size(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

static struct json_object *json_array(const ProtobufCFieldDescriptor *field, const char *elements,
				      size_t count)
{
	struct json_object *array = json_object_new_array_ext((int)count);

	for (size_t i = 0; array && i < count; i++) {
		struct json_object *value = json_value(field, elements + i * element_size(field));

		if (!value || json_object_array_add(array, value) < 0) {
			json_object_put(value);
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

/* Is there a value to show? */
static bool is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const char *base = (const char *)message;

	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)(base + field->quantifier_offset) == field->id;
	if (field->label != PROTOBUF_C_LABEL_REPEATED && field->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(void *const *)(base + field->offset) != NULL;
	return true;
}

int dhat_json_add_fields(struct json_object *object, const ProtobufCMessage *message)
{
	const char *base = (const char *)message;

	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = message->descriptor->fields + i;
		struct json_object *value;

		if (!is_set(message, field))
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			value = json_array(field, *(char *const *)(base + field->offset),
					   *(const size_t *)(base + field->quantifier_offset));
		else
			value = json_value(field, base + field->offset);
		if (!value || json_object_object_add(object, field->name, value) < 0) {
			json_object_put(value);
			return -ENOMEM;
		}
	}
	return 0;
}

struct json_object *dhat_json_message(const ProtobufCMessage *message)
{
	struct json_object *object = json_object_new_object();

	if (object && dhat_json_add_fields(object, message) < 0) {
		json_object_put(object);
		return NULL;
	}
	return object;
}

int dhat_json_put_string(FILE *file, const char *text)
{
	struct json_object *string = dhat_json_string(text);

	if (!string)
		return -ENOMEM;
	fputs(json_object_to_json_string_ext(string, JSON_C_TO_STRING_NOSLASHESCAPE), file);
	json_object_put(string);
	return 0;
}

static int put_value(FILE *file, struct json_object *value, int depth);

/* Before a member: what ends the one before, a new line, two spaces for each level. */
static void begin_member(FILE *file, bool is_first, int depth)
{
	fprintf(file, "%s%*s", is_first ? "\n" : ",\n", 2 * depth, "");
}

static int put_array(FILE *file, struct json_object *array, int depth)
{
	size_t count = json_object_array_length(array);
	int r = 0;

	fputc('[', file);
	for (size_t i = 0; !r && i < count; i++) {
		begin_member(file, i == 0, depth + 1);
		r = put_value(file, json_object_array_get_idx(array, i), depth + 1);
	}
	if (count)
		fprintf(file, "\n%*s", 2 * depth, "");
	fputc(']', file);
	return r;
}

static int put_object(FILE *file, struct json_object *object, int depth)
{
	bool is_first = true;

	fputc('{', file);
	json_object_object_foreach(object, key, value)
	{
		int r;

		begin_member(file, is_first, depth + 1);
		is_first = false;
		r = dhat_json_put_string(file, key);
		if (r)
			return r;
		fputs(": ", file);
		r = put_value(file, value, depth + 1);
		if (r)
			return r;
	}
	if (!is_first)
		fprintf(file, "\n%*s", 2 * depth, "");
	fputc('}', file);
	return 0;
}

/* The layout is ours: that of json-c changes with its version (empty arrays, since 0.17), and equal
 * profiles shall be equal bytes. */
static int put_value(FILE *file, struct json_object *value, int depth)
{
	const char *text;

	if (json_object_is_type(value, json_type_array))
		return put_array(file, value, depth);
	if (json_object_is_type(value, json_type_object))
		return put_object(file, value, depth);
	text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return -ENOMEM;
	fputs(text, file);
	return 0;
}

int dhat_json_put(FILE *file, struct json_object *object)
{
	return put_value(file, object, 0);
}
