#pragma once
/* spool: a folder of profiles that dhatd has kept by itself; the oldest go, but none that belongs
 * to the end of a service: there is one of each process, however many those are.
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

/* The same, of a file that is not there yet: of several profiles of one process, name and second,
 * as of a program that executed itself anew, the later ones have the next seconds. */
void spool_new_name(const char *folder, const char *program, pid_t pid, uint64_t unix_ns,
		    const char *word, char ret[SPOOL_NAME_CHARS]);

/* One of ours, in its parts. */
struct spool_file {
	char program[SPOOL_NAME_CHARS], time[20];
	enum spool_kind {
		SPOOL_KIND_TRIGGER,
		SPOOL_KIND_EVERY,
		SPOOL_KIND_STOP,
	} kind;
};
/* Pure. False: it is none. */
bool spool_parse(const char *name, struct spool_file *ret);

/* Make the folder, for root or its owner only, if it is not there. What was being written there
 * when its dhatd was killed (output.h) goes, once nobody has written to it for
 * SPOOL_LEFT_OVER_SECONDS.
 */
int spool_prepare(const char *folder, struct dhat_error *err);
#define SPOOL_LEFT_OVER_SECONDS 600
/* Of `name` and those like it (of the same program and kind) the newest `keep` stay, and of all
 * SPOOL_FILES_MAX. `name` always stays, and so does each of `others` (a list that ends with NULL;
 * NULL: none); they count first. Returns how many went. */
size_t spool_prune(const char *folder, const char *name, size_t keep, char *const *others);
