#pragma once
/* worker_main: the other side of worker.h, in a process of its own.
 *
 * `dhatd --worker` is for dhatd itself to start (worker.c): descriptor 3 is its socket. It confines
 * itself (sandbox.h), then answers requests until the socket ends. main() calls this before it
 * does anything else.
 */
#include "proto/base/wire.h"

#define WORKER_ARGUMENT "--worker"
#define WORKER_SOCKET 3

/* argv: program, --worker, memory limit in bytes. Returns the exit status. */
int worker_main(int argc, char **argv);

/* A test program may define this: what the worker does on worker_try(), inside the sandbox. 0 or
 * -errno. Without it such a request fails. */
int worker_try_hook(struct wire_reader *request, int fd, struct wire_writer *answer)
	__attribute__((weak));
