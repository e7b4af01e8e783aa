#pragma once
/* numbers: a process has a number in each pid namespace that it is in. The kernel side meets the
 * one of the initial namespace; dhatd, and all who talk to it, those of its own.
 */
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/error.h"

/* The inode of this process's pid namespace, by which the kernel side knows it (cfg_namespace). */
int numbers_namespace(uint32_t *ret, struct dhat_error *err);
/* The number in the initial namespace of the process that is `pid` here. */
int numbers_initial(pid_t pid, uint32_t *ret, struct dhat_error *err);
