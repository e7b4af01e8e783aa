#include "wire.h"

#include <stdlib.h>
#include <string.h>

void wire_writer_deinit(struct wire_writer *writer)
{
	free(writer->data);
	memset(writer, 0, sizeof(*writer));
}

static bool reserve(struct wire_writer *writer, size_t more)
{
	size_t capacity = writer->capacity ? writer->capacity : 256;
	uint8_t *grown;

	if (writer->is_failed || more > SIZE_MAX / 4 - writer->size) {
		writer->is_failed = true;
		return false;
	}
	if (writer->size + more <= writer->capacity)
		return true;
	while (capacity < writer->size + more)
		capacity *= 2;
	grown = realloc(writer->data, capacity);
	if (!grown) {
		writer->is_failed = true;
		return false;
	}
	writer->data = grown;
	writer->capacity = capacity;
	return true;
}

void wire_put(struct wire_writer *writer, const void *data, size_t size)
{
	if (!size || !reserve(writer, size))
		return;
	memcpy(writer->data + writer->size, data, size);
	writer->size += size;
}

void wire_put_u32(struct wire_writer *writer, uint32_t value)
{
	wire_put(writer, &value, sizeof(value));
}

void wire_put_u64(struct wire_writer *writer, uint64_t value)
{
	wire_put(writer, &value, sizeof(value));
}

void wire_put_bytes(struct wire_writer *writer, const void *data, size_t size)
{
	wire_put_u64(writer, size);
	wire_put(writer, data, size);
}

void wire_put_string(struct wire_writer *writer, const char *string)
{
	wire_put_bytes(writer, string, string ? strlen(string) : 0);
}

const void *wire_get(struct wire_reader *reader, size_t size)
{
	const void *data = reader->data;

	if (reader->is_short || size > reader->size) {
		reader->is_short = true;
		return NULL;
	}
	reader->data += size;
	reader->size -= size;
	return data;
}

uint32_t wire_get_u32(struct wire_reader *reader)
{
	const void *data = wire_get(reader, sizeof(uint32_t));
	uint32_t value = 0;

	if (data)
		memcpy(&value, data, sizeof(value));
	return value;
}

uint64_t wire_get_u64(struct wire_reader *reader)
{
	const void *data = wire_get(reader, sizeof(uint64_t));
	uint64_t value = 0;

	if (data)
		memcpy(&value, data, sizeof(value));
	return value;
}

const void *wire_get_bytes(struct wire_reader *reader, size_t *ret_size)
{
	uint64_t size = wire_get_u64(reader);
	const void *data = wire_get(reader, size);

	*ret_size = data ? size : 0;
	return data;
}

char *wire_get_string(struct wire_reader *reader)
{
	size_t size;
	const char *data = wire_get_bytes(reader, &size);
	char *string;

	if (!data)
		return NULL;
	string = malloc(size + 1);
	if (!string) {
		reader->is_short = true;
		return NULL;
	}
	memcpy(string, data, size);
	string[size] = '\0';
	return string;
}

uint32_t wire_get_count(struct wire_reader *reader, size_t element_size)
{
	uint32_t count = wire_get_u32(reader);

	if (element_size && count > reader->size / element_size) {
		reader->is_short = true;
		return 0;
	}
	return count;
}
