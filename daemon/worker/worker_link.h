#pragma once
/* worker_link: messages between dhatd and its worker, over a stream socket pair.
 *
 * A message is a head, size bytes, and at most one descriptor. Each end distrusts the other's
 * sizes; only the daemon sends descriptors.
 */
#include <stdint.h>

#include "proto/base/wire.h"

enum worker_message {
	/* requests; the file goes with them */
	WORKER_SURVEY = 1,
	WORKER_BUILD_CFI,
	WORKER_NAME,
	WORKER_NAME_JIT,
	WORKER_NAME_DATA,
	WORKER_NAME_POINTEES,
	WORKER_SCAN,   /* of /proc/PID/mem */
	WORKER_CLOSER, /* likewise */
	/* answers */
	WORKER_DONE,
	WORKER_FAILED, /* u32 errno, u32 exit code, string message */
	/* between a request and its answer */
	WORKER_WISH,  /* worker: u32 kind, string name, bytes build_id */
	WORKER_GRANT, /* daemon: a descriptor, or none */
};

#define WORKER_MAX_MESSAGE_BYTES (1ull << 30)

struct worker_head {
	uint32_t type; /* enum worker_message */
	uint32_t pad;
	uint64_t size;
};

/* -ETIMEDOUT at the deadline (CLOCK_MONOTONIC; 0: wait without end, and without poll(2), which the
 * worker may not call), -EPIPE when the other end is gone. */
int worker_send(int sock, uint32_t type, const void *data, uint64_t size, int fd,
		uint64_t deadline_ns);

/* *ret_data: the caller frees; *ret_fd (may be NULL: descriptors are refused) -1 if none came. */
int worker_receive(int sock, uint64_t max_size, uint64_t deadline_ns, struct worker_head *ret_head,
		   uint8_t **ret_data, int *ret_fd);
