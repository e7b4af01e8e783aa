#include "json_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int dhat_json_read_number(struct json_object *value, uint64_t *ret)
{
	/* above INT64_MAX it is INT64_MAX here, and whole below */
	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return -EBADMSG;
	*ret = json_object_get_uint64(value);
	return 0;
}

static int read_uint32(struct json_object *value, uint32_t *ret)
{
	uint64_t number;
	int r = dhat_json_read_number(value, &number);

	if (r < 0 || number > UINT32_MAX)
		return -EBADMSG;
	*ret = (uint32_t)number;
	return 0;
}

static int read_bool(struct json_object *value, protobuf_c_boolean *ret)
{
	if (!json_object_is_type(value, json_type_boolean))
		return -EBADMSG;
	*ret = json_object_get_boolean(value);
	return 0;
}

static int read_double(struct json_object *value, double *ret)
{
	if (!json_object_is_type(value, json_type_double) &&
	    !json_object_is_type(value, json_type_int))
		return -EBADMSG;
	*ret = json_object_get_double(value);
	return 0;
}

static int read_string(struct json_object *value, char **ret)
{
	char *copy;

	if (!json_object_is_type(value, json_type_string))
		return -EBADMSG;
	copy = strdup(json_object_get_string(value));
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

static int read_message(struct json_object *value, const ProtobufCMessageDescriptor *descriptor,
			ProtobufCMessage **ret)
{
	ProtobufCMessage *message;
	int r;

	if (!json_object_is_type(value, json_type_object))
		return -EBADMSG;
	message = malloc(descriptor->sizeof_message);
	if (!message)
		return -ENOMEM;
	protobuf_c_message_init(descriptor, message);
	r = dhat_json_read_fields(value, message);
	if (r < 0)
		protobuf_c_message_free_unpacked(message, NULL);
	else
		*ret = message;
	return r;
}

/* The kinds that dhat.proto has, but for sint64, which no message in a file of others has. */
static int read_value(struct json_object *value, const ProtobufCFieldDescriptor *field, void *ret)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		return read_bool(value, ret);
	case PROTOBUF_C_TYPE_UINT32:
		return read_uint32(value, ret);
	case PROTOBUF_C_TYPE_UINT64:
		return dhat_json_read_number(value, ret);
	case PROTOBUF_C_TYPE_DOUBLE:
		return read_double(value, ret);
	case PROTOBUF_C_TYPE_STRING:
		return read_string(value, ret);
	case PROTOBUF_C_TYPE_MESSAGE:
		return read_message(value, field->descriptor, ret);
	default:
		return -EBADMSG;
	}
}

static size_t element_size(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_UINT32:
		return sizeof(uint32_t);
	default: /* numbers of 64 bits, and pointers */
		return sizeof(uint64_t);
	}
}

static int read_array(struct json_object *array, const ProtobufCFieldDescriptor *field,
		      ProtobufCMessage *message)
{
	size_t *count = (size_t *)((char *)message + field->quantifier_offset);
	char **elements = (char **)((char *)message + field->offset);
	size_t length, size = element_size(field);

	if (!json_object_is_type(array, json_type_array) || *count)
		return -EBADMSG;
	length = json_object_array_length(array);
	if (!length)
		return 0;
	*elements = calloc(length, size);
	if (!*elements)
		return -ENOMEM;
	while (*count < length) {
		int r = read_value(json_object_array_get_idx(array, *count), field,
				   *elements + *count * size);

		if (r < 0)
			return r;
		++*count;
	}
	return 0;
}

int dhat_json_read_fields(struct json_object *object, ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *descriptor = message->descriptor;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
		struct json_object *value;

		if (!json_object_object_get_ex(object, field->name, &value) || !value ||
		    (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			r = read_array(value, field, message);
		else
			r = read_value(value, field, (char *)message + field->offset);
	}
	return r;
}
