#pragma once
/* worker_main: the other side of worker.h, in a process of its own.
 *
 * `dhatd --worker` is for dhatd itself to start (worker.c): descriptor 3 is its socket. It confines
 * itself (sandbox.h), then answers requests until the socket ends. main() calls this before it
 * does anything else.
 */
#include "worker_loop.h"

#define WORKER_ARGUMENT "--worker"

/* argv: program, --worker, memory limit in bytes, what it is for. Returns the exit status. */
int worker_main(int argc, char **argv);

/* What it answers: a worker_answer_fn. */
int worker_answer(uint32_t type, int fd, struct wire_reader *request, struct wire_writer *answer,
		  struct dhat_error *err);
