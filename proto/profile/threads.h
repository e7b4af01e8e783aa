#pragma once
/* threads: who has allocated at a point: threads, by what they are called, and the allocator.
 *
 * Pure. A point says which threads have allocated there, and not which of its blocks are whose
 * (daemon/account/thread_names.h): its sums belong to all of them together.
 */
#include "snapshot.h"

#define DHAT_THREADS_UNKNOWN "[thread not known]"
#define DHAT_THREADS_SHOWN 6 /* names in a text */

/* "main, worker-*, and others": those of the profile that differ in digits only are one everywhere;
 * "others" are threads whose name is not known, and names beyond DHAT_THREADS_SHOWN.
 * DHAT_THREADS_UNKNOWN where nothing is known. threads: as ProgramPoint.threads. Not cleaned
 * (proto/base/text.h). The caller frees; NULL: out of memory. */
char *dhat_threads_text(const Dhat__SnapshotHead *head, uint64_t threads);
/* "glibc 2.36"; NULL: not known. */
const char *dhat_allocator_name(const Dhat__SnapshotHead *head, uint32_t allocator);

/* The points of `from` are about to be added to `into`: what they refer to is there then. */
int dhat_threads_merge(struct dhat_snapshot *into, struct dhat_snapshot *from);
