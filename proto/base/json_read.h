#pragma once
/* json_read: the way back from what json.h makes of a protobuf message.
 *
 * Fields are looked for under the names that dhat.proto gives them. One that is missing, or null,
 * keeps what it has; keys that are no field are passed over. The JSON may be anybody's: a value of
 * another kind than the field's, or out of its range, is an error and never cut to fit.
 */
#include <json-c/json.h>
#include <protobuf-c/protobuf-c.h>

/* message: initialised, and freed by the caller (…__free_unpacked), whether it succeeds or not.
 * -EBADMSG: a value does not fit. -ENOMEM. */
int dhat_json_read_fields(struct json_object *object, ProtobufCMessage *message);
/* A whole number that is not negative. -EBADMSG: it is none. */
int dhat_json_read_number(struct json_object *value, uint64_t *ret);
