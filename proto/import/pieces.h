#pragma once
/* pieces: what readers of JSON profiles share: values of a JSON object, and texts, messages and
 * notes of a snapshot. */
#include <json-c/json.h>
#include <stdbool.h>

#include "proto/profile/snapshot.h"

/* NULL: there is none of that type. */
struct json_object *pieces_member(struct json_object *object, const char *key, enum json_type type);
/* "" where there is none. */
const char *pieces_text(struct json_object *object, const char *key);
/* 0 where it is missing, too; -EBADMSG: it is no number that is whole and not negative. */
int pieces_number(struct json_object *object, const char *key, uint64_t *ret);

/* What each of our JSONs has of a point, by the names of its fields; missing and null are 0.
 * -EBADMSG as above. */
int pieces_figures(struct json_object *object, Dhat__ProgramPoint *point);

/* A copy into a field of a message that is still empty; of one that is not nothing is done. */
int pieces_set_text(char **text, const char *value, size_t length);
/* A message with its defaults; NULL: no memory. */
void *pieces_new(const ProtobufCMessageDescriptor *descriptor);
/* Into the snapshot, which owns it, whether it succeeds or not. path: for messages. */
int pieces_add_part(struct dhat_snapshot *snapshot, Dhat__SnapshotPart__PartCase kind,
		    ProtobufCMessage *message, const char *path, struct dhat_error *err);

/* A point's figures to the sums of all; what is too large stays at the largest. */
void pieces_add_up(Dhat__Totals *sums, const Dhat__ProgramPoint *point);

/* How many frames are left out, as dhatctl writes it in a frame's place. */
bool pieces_is_left_out(const char *line);
/* What dhatctl writes in a frame's place: a label, why a stack ends, what kind of memory it is.
 * *ret: it is none of these, but a frame. */
int pieces_take_note(const char *line, Dhat__ProgramPoint *point, bool *ret);
