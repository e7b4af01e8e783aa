#pragma once
/* places: our breakpoints in the code of one process: are they where we put them?
 *
 * Knows no target. Its own `lock` guards it, for moments; any thread may ask, but for
 * places_restore().
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/proc/code.h"
#include "objects.h"

struct place {
	uint32_t object;
	uint64_t file_offset;
	char *name;		     /* of the function; owned */
	struct code_pattern pattern; /* what the file has there */
	bool is_missing;	     /* somebody wrote over it … */
	bool is_patched;	     /* … and around it: not to be put back */
};

struct places {
	pthread_mutex_t lock;
	struct place *list;
	size_t count, capacity;
	uint64_t seen_unix_ns; /* when all were in place */
	uint32_t taken;	       /* how often one was found missing */
};

/* Whose they are. Called with no lock of these. */
struct places_owner {
	pid_t pid;
	struct objects *objects;
	bool (*is_over)(void *context); /* or about to be: what is missing then is missing by us */
	void (*say)(void *context, const char *text);  /* for a person */
	void (*tell)(void *context, const char *text); /* … who should know at once */
	void *context;
};

void places_init(struct places *places);
void places_clear(struct places *places);
void places_deinit(struct places *places);

/* Put at byte file_offset of an object that is open as fd, in a function of that name. One that
 * cannot be read is not kept. -ENOMEM. */
int places_add(struct places *places, uint32_t object, int fd, uint64_t file_offset,
	       const char *name);
/* All are where they were put, at this time. */
void places_set_seen(struct places *places, uint64_t unix_ns);
uint32_t places_taken(struct places *places);

/* Does the code that is mapped of a place differ from the file's, but for breakpoints? Whoever
 * changed it would not expect a probe there. For the one who looks after objects. */
bool places_is_patched(const struct places_owner *owner, uint32_t object, uint64_t file_offset);
/* Are some missing that can be put back, or mappings that they were in? Cheap. */
bool places_check(struct places *places, const struct places_owner *owner);
/* Put back those that are missing. For the one who looks after objects, and while no debugger is
 * there; a tenth of a second for each. */
void places_restore(struct places *places, const struct places_owner *owner);

/* What is searched for in copies of the code: *ret to be freed. -ENOMEM. */
int places_patterns(struct places *places, struct code_pattern **ret, size_t *ret_count);
void places_name(struct places *places, size_t i, char *ret, size_t size);
