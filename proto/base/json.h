#pragma once
/* json: protobuf messages as JSON, field by field under the names that dhat.proto gives them.
 *
 * All fields are there, unset ones with their default; of a oneof the one that is set. Strings are
 * cleaned (proto/base/text.h). 64-bit numbers are written in full.
 */
#include <stdio.h>

#include <json-c/json.h>
#include <protobuf-c/protobuf-c.h>

/* NULL: out of memory. The caller puts it (json_object_put). */
struct json_object *dhat_json_message(const ProtobufCMessage *message);
/* Add the fields of a message to an object; -ENOMEM is the only failure. */
int dhat_json_add_fields(struct json_object *object, const ProtobufCMessage *message);

/* A cleaned string. */
struct json_object *dhat_json_string(const char *text);
int dhat_json_put_string(FILE *file, const char *text);
/* Print an object, indented, without a new line at the end. */
int dhat_json_put(FILE *file, struct json_object *object);
