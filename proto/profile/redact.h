#pragma once
/* redact: a profile that can be handed to strangers.
 *
 * Left out: host, command line, executable, paths, names of functions, probes, reasons of the
 * verdict (its word stays), and notes, for any of these may hold names; one note says so. Addresses
 * become offsets in the objects, which are numbered. What stays: figures, times, the pid, the
 * kernel's version, the allocators' kinds and versions, the shape of stacks, and build ids with
 * offsets, by which whoever has the files can name all places again.
 */
#include <stdbool.h>

#include "snapshot.h"

#define DHAT_REDACTED "[redacted]"

/* -ENOMEM: part of it is still there: not to be shown. */
int dhat_redact(struct dhat_snapshot *snapshot);

/* Its stacks cannot be found in a profile that is not. */
bool dhat_is_redacted(const struct dhat_snapshot *snapshot);
