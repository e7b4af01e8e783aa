#pragma once
/* since: what each stack of a target had allocated when its profile was pushed last. Pure.
 *
 * Stacks are told apart by their frames (object and offset), by 64 bits of hash; 24 bytes a stack.
 */
#include "proto/profile/snapshot.h"

struct since;

/* Subtracts from the totals of each stack what it had in `last` (NULL: nothing), and lets the
 * snapshot begin when that was: *ret_unix_ns. What is live stays as it is. *ret: to be the last one
 * the next time. Where two stacks look alike their sum is right. -ENOMEM: nothing has changed. */
int since_subtract(const struct since *last, struct dhat_snapshot *snapshot, struct since **ret,
		   uint64_t *ret_unix_ns);
void since_free(struct since *since); /* NULL is fine */
