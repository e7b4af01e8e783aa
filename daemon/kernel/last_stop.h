#pragma once
/* last_stop: a process that was started for it stops (SIGSTOP) where it ends by itself, and waits
 * to be looked at: behind main() and what is done at exit, before its memory goes.
 *
 * By a probe at _Exit() of its C library. What ends by a signal, by a call of the kernel's that
 * is made by hand, with its last thread, or after its main thread, does not stop.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/error.h"

struct last_stop;

/* path: any name that leads now to the file with that function; file_offset: where it begins. */
int last_stop_new(pid_t pid, const char *path, uint64_t file_offset, struct last_stop **ret,
		  struct dhat_error *err);
/* From now on it stops no more. True: it has come to its end before; as below. */
bool last_stop_end(struct last_stop *stop);
/* NULL is allowed. Whoever has stopped is not sent on by it. */
void last_stop_free(struct last_stop *stop);
/* Has it come to its end, and does it stand still, or will in a moment? True from then on. */
bool last_stop_has_come(const struct last_stop *stop);
