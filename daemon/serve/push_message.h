#pragma once
/* push_message: where profiles are pushed to, and how that goes, as part of a status. */
#include "daemon/push/pusher.h"
#include "proto/wire/dhat.pb-c.h"

/* -ENOMEM: what has been added is there. Freed by push_message_free() in any case. */
int push_message_add(struct pusher *pusher, Dhat__Status *status);
void push_message_free(Dhat__Status *status);
