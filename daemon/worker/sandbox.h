#pragma once
/* sandbox: give up everything but memory and the descriptors one is handed.
 *
 * For the worker, which parses files of the target's owner: whoever takes it over by such a file
 * finds himself as `nobody`, in an empty root directory, with no system call that opens, connects,
 * starts or changes anything. There is no way back out of it.
 */
#include <stdint.h>

#include "proto/base/error.h"

struct sandbox_limits {
	uint64_t memory_bytes; /* private memory; 0: no limit (sanitizers map terabytes) */
};

/* Steps that need root are taken when there is root; the rest always. An error leaves the process
 * partly confined: exit then. */
int sandbox_enter(const struct sandbox_limits *limits, struct dhat_error *err);
