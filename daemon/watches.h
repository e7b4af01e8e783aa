#pragma once
/* watches: the sections of a configuration at work: for each a search for its processes.
 *
 * For the main thread. W1: a process that a section names before and after a reload stays attached
 * to. W2: a file with a mistake changes nothing.
 */
#include "config.h"
#include "daemon/target/targets.h"
#include "daemon/watch/recorder.h"

struct watches;

struct watches_options { /* borrowed */
	const char *path;
	struct targets *targets;
	struct recorder *recorder;
	/* number 0 of the recorder's: what is attached to by others */
	const struct watch_settings *settings;
	uint64_t max_memory_bytes; /* of a target, where its section does not say; 0: the default */
	/* told of each step of watches_load(), which may take a minute; may be NULL */
	void (*step)(void *context);
	void *context;
};

int watches_new(const struct watches_options *options, struct watches **ret,
		struct dhat_error *err);
/* Read the file, for the first time or again. A section whose control group is not there is told of
 * and left out; of one whose processes are too many the first are taken: discover.h. */
int watches_load(struct watches *watches, struct dhat_error *err);
/* Nothing is attached to from now on; waits for nothing. NULL is fine. */
void watches_stop(struct watches *watches);
void watches_free(struct watches *watches);
