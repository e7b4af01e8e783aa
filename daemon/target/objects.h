#pragma once
/* objects: the files whose code a process has mapped: opened, described, with their unwind tables.
 *
 * They are numbered as in mappings.h, in which they are told apart. Of one process, and knows
 * nothing else of it.
 *
 * Locking. One at a time looks after them: it alone calls what changes them, and it may read them
 * without more. Others read, too, by the functions for any thread: `lock` is for these. It is held
 * for the moment of a change or a copy, and nothing else is locked with it.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/mappings.h"
#include "daemon/object/sites/survey.h"
#include "daemon/proc/procmaps.h"

struct table;
struct tables;
struct worker;

#define OBJECTS_MAX 4096 /* descriptors and descriptions that are kept */

struct object_slot {
	char *path; /* as the process sees it; NULL: not opened yet */
	int fd;	    /* -1: could not be opened; outlives the process */
	uint64_t inode;
	bool is_vdso;
	bool was_tried; /* opened and described, well or not */
	bool is_unread; /* it may hold code of an allocator, and could not be looked into */
	bool table_was_tried, table_is_told; /* told: to the kernel side, with its mappings */
	uint8_t build_id[64];
	size_t build_id_size;
	uint64_t code_bytes;	   /* of its executable mappings */
	struct survey *survey;	   /* NULL: see failure */
	const struct table *table; /* reference; in the slot of tables of the object's number */
	char *failure;		   /* why there is no description or no table */
};

struct objects {
	pthread_mutex_t lock;
	struct object_slot *slots;
	size_t count;
	/* what was mapped at the last look; `mappings` is as of the records taken so far */
	struct mapping *seen;
	size_t seen_count;
};

void objects_init(struct objects *objects);
/* Forget all, as before the first look. tables: whose the tables are. */
void objects_clear(struct objects *objects, struct tables *tables);
void objects_deinit(struct objects *objects, struct tables *tables);

/* ---- for the one who looks after them ----------------------------------------------------- */

/* Keep what maps has, with the paths that records do not tell. The caller has locked mappings,
 * which numbers what is new. -ENOMEM. */
int objects_look(struct objects *objects, struct mappings *mappings, const struct procmaps *maps);
/* Make mappings, which the caller has locked, what maps says. */
void objects_sync(struct mappings *mappings, const struct procmaps *maps);

struct objects_opener {
	pid_t pid;
	struct worker *worker;
	struct survey_question question; /* but for the path */
};
/* Open and describe one, of which mappings know this path. Afterwards was_tried is false if it was
 * gone before anybody came. */
void objects_open(struct objects *objects, uint32_t object, const char *path,
		  const struct objects_opener *opener);

/* Valid until the next look. */
const struct object_slot *objects_at(const struct objects *objects, uint32_t object);
bool objects_is_mapped(const struct objects *objects, uint32_t object);
/* For the kernel side, *ret to be freed. -ENOMEM. */
int objects_list(const struct objects *objects, struct dhat_mapping **ret, size_t *ret_count);
/* The kernel side has what objects_list() last said. */
void objects_told(struct objects *objects);

/* What came of an attempt to get a table: takes the reference. NULL: there is none; why may be
 * NULL.
 */
void objects_set_table(struct objects *objects, uint32_t object, const struct table *table,
		       const char *why);
/* As if nobody had asked for one yet. */
void objects_drop_table(struct objects *objects, uint32_t object, struct tables *tables);
/* Tables and descriptions, which only unwinding and probing need; names need the descriptors, which
 * stay. */
void objects_drop_tables(struct objects *objects, struct tables *tables);

/* ---- for any thread ----------------------------------------------------------------------- */

/* Where a byte of an object's file is mapped, next after *position, which starts as 0. False: that
 * was all. *ret_addr: its address. */
bool objects_next_place(struct objects *objects, uint32_t object, uint64_t file_offset,
			size_t *position, struct mapping *ret, uint64_t *ret_addr);
/* The name of its file without folders; "" if it is not known. */
void objects_name(struct objects *objects, uint32_t object, char *ret, size_t size);

uint64_t objects_inode(struct objects *objects, uint32_t object); /* 0: none, or not known */

struct objects_file { /* what names need */
	int fd;	      /* a duplicate, the caller's; -1: none */
	uint8_t build_id[64];
	size_t build_id_size;
};
/* of an object that nobody has looked at yet, too */
void objects_file(struct objects *objects, uint32_t object, struct objects_file *ret);

struct objects_sum {
	uint64_t code_bytes, table_bytes;
	uint32_t tables_ready;	 /* in force: the kernel side walks by them */
	uint32_t tables_pending; /* of what is mapped: not tried yet, or not told yet */
	uint64_t own_bytes;	 /* of the list and descriptions, but for names */
};
void objects_sum(struct objects *objects, struct objects_sum *ret);
