#pragma once
/* refusal: why the kernel did not take BPF programs, for people.
 *
 * libbpf returns an errno; which program it was, and what the verifier had against it, stands in
 * its messages only. They are kept for each thread until it asks.
 */
#include <stdbool.h>

#include "proto/base/error.h"

#define REFUSAL_LEAST_KERNEL "6.1"

/* Listen to libbpf from now on; once, at the start. is_loud: all that it says goes to stderr, too.
 */
void refusal_listen(bool is_loud);

/* error: what a load on this thread has just returned, below 0. compiler: what the programs were
 * made by. Says whether rights, the kernel, or the compiler is to blame; DHAT_EXIT_NOT_PERMITTED or
 * _UNSUPPORTED. */
int refusal_explain(int error, const char *compiler, struct dhat_error *err);
