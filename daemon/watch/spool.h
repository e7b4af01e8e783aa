#pragma once
/* spool: a folder of profiles that dhatd has kept by itself; the oldest go.
 *
 * A file is called PROGRAM-PID-TIME-WORD.dhat, such as nginx-1234-20261129T031502Z-rss.dhat: by
 * UTC, so that those of a program are listed in their order. Nothing else in the folder is ever
 * touched.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/error.h"

#define SPOOL_NAME_CHARS 128
#define SPOOL_FILES_MAX 1000 /* of all programs together: P4 */
/* The words of what is kept for no trigger's sake: now and then, and at the end of a service. */
#define SPOOL_EVERY "every"
#define SPOOL_STOP "stop"

/* What of a program's name cannot be in a file's is "_". word: of letters. */
void spool_name(const char *program, pid_t pid, uint64_t unix_ns, const char *word,
		char ret[SPOOL_NAME_CHARS]);

/* One of ours, in its parts. */
struct spool_file {
	char program[SPOOL_NAME_CHARS], time[20];
	bool is_routine; /* one of those */
};
/* Pure. False: it is none. */
bool spool_parse(const char *name, struct spool_file *ret);

/* Make the folder, for root or its owner only, if it is not there. */
int spool_prepare(const char *folder, struct dhat_error *err);
/* Of `name` and those like it (of the same program; kept as a matter of routine, or not) the newest
 * `keep` stay, and of all SPOOL_FILES_MAX. Returns how many went. */
size_t spool_prune(const char *folder, const char *name, size_t keep);
