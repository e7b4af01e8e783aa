#include "remake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
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

Dhat__SnapshotHead *dhat_new_head(Dhat__SnapshotHead *head)
{
	Dhat__SnapshotHead *made = dhat_new_like(&head->base);

	if (!made)
		return NULL;
	made->format_version = head->format_version;
	made->tool_version = dhat_take_text(&head->tool_version);
	made->kernel = dhat_take_text(&head->kernel);
	made->taken_unix_ns = head->taken_unix_ns;
	made->sample_rate = head->sample_rate;
	made->sample_bytes = head->sample_bytes;
	made->steps = take_ptr(head->steps);
	made->n_steps = head->n_steps;
	head->n_steps = 0;
	return made;
}
