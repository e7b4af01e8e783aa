#pragma once
/* watch_message: the sections of a configuration, and what each leaves out, as part of a status. */
#include "daemon/target/targets.h"
#include "proto/wire/dhat.pb-c.h"

/* -ENOMEM: what has been added is there. Freed by watch_message_free() in any case. */
int watch_message_add(struct targets *targets, Dhat__Status *status);
void watch_message_free(Dhat__Status *status);
