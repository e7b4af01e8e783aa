#pragma once
/* steps: what was done to make watching cheaper (SnapshotHead.steps), into a line of JSON, behind
 * other fields: ,"steps":[…], objects as dhat.proto has them; nothing of a profile without.
 * -ENOMEM.
 */
#include <stdio.h>

#include "proto/wire/dhat.pb-c.h"

int steps_put(FILE *file, const Dhat__SnapshotHead *head);
