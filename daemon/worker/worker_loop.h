#pragma once
/* worker_loop: a worker process: it confines itself, then answers until its socket ends. */
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/wire.h"

#define WORKER_SOCKET 3

/* fd: the file that came with the request, -1 if none did; it stays the loop's. 0 or -errno. */
typedef int (*worker_answer_fn)(uint32_t type, int fd, struct wire_reader *request,
				struct wire_writer *answer, struct dhat_error *err);

/* Returns the exit status. memory_bytes 0: no bound (sandbox.h). */
int worker_loop(uint64_t memory_bytes, worker_answer_fn answer_to);
