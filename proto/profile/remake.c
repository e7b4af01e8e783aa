#include "remake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/qualifiers.h"

void *dhat_new_like(const ProtobufCMessage *message)
{
	ProtobufCMessage *made = malloc(message->descriptor->sizeof_message);

	if (made)
		protobuf_c_message_init(message->descriptor, made);
	return made;
}

void dhat_become(ProtobufCMessage *message, ProtobufCMessage *made)
{
	size_t size = message->descriptor->sizeof_message;
	char old[512];

	assert(size <= sizeof(old));
	memcpy(old, message, size);
	memcpy(message, made, size);
	memcpy(made, old, size);
	protobuf_c_message_free_unpacked(made, NULL);
}

char *dhat_take_text(char **field)
{
	char *text = *field;

	*field = without_qualifiers(protobuf_c_empty_string);
	return text;
}
