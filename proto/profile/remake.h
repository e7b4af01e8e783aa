#pragma once
/* remake: messages that own what they point to are made anew, and take over what is to be kept:
 * what later versions add is not in them until somebody has thought about it. */
#include "proto/wire/dhat.pb-c.h"

/* An empty one of the kind. NULL: out of memory. */
void *dhat_new_like(const ProtobufCMessage *message);
/* The message becomes what `made` is, which goes, with all that was left in the message. */
void dhat_become(ProtobufCMessage *message, ProtobufCMessage *made);
/* The field is empty then. */
char *dhat_take_text(char **field);
/* Of a snapshot, with what each one has that is about it, and nobody's secret: the versions, the
 * kernel, the moment and the rate. NULL: out of memory. */
Dhat__SnapshotHead *dhat_new_head(Dhat__SnapshotHead *head);
