#pragma once
/* tables: unwind tables of objects, shared by all targets.
 *
 * A table is built once per object and lives in a BPF array that targets put in their outer map.
 * It is kept while a target uses it and, within the memory budget, after that; between runs it is
 * on disk (table_cache.h). Two objects are the same if they have the same build-id and the same
 * owner (so a build-id that lies deceives only its author), else if device, inode, size and times
 * are equal. Thread-safe: whoever asks for a table that is being built waits for it.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "daemon/object/cfi/cfi_table.h"
#include "proto/base/error.h"

struct tables;
struct worker;

struct table {
	int map_fd; /* array of 8-byte words (bpf/dhat_abi.h); -1: none, see reason */
	uint64_t first_page_vaddr; /* link-time address */
	uint64_t bytes;		   /* memory that the map takes */
	uint64_t code_bytes;	   /* described by it */
	uint32_t row_count;
	uint32_t unread_functions; /* without rules of their own: see cfi_table.h */
	char reason[256];	   /* why there is none; else "" */
};

struct tables_options {
	uint64_t max_memory_bytes; /* of all tables; 0: TABLES_MAX_MEMORY_BYTES */
	const char *cache_path;	   /* NULL: TABLES_CACHE_PATH; "": none */
	uint64_t max_cache_bytes;  /* on disk; 0: TABLES_MAX_CACHE_BYTES */
	struct worker *worker;	   /* builds them; borrowed */
	/* NULL: worker_build_cfi() */
	int (*build)(struct worker *worker, int fd, uint32_t max_rows, struct cfi_table **ret,
		     struct dhat_error *err);
};
#define TABLES_MAX_MEMORY_BYTES (256ull << 20)
#define TABLES_MAX_CACHE_BYTES (512ull << 20)
#define TABLES_CACHE_PATH "/var/cache/dhatd"
#define TABLES_MAX_ROWS (16u << 20) /* of one object: 128 MB, seventeen times LLVM */

/* Map flags of a table; the inner map of targets' outer map must have the same. */
#define TABLES_MAP_FLAGS (BPF_F_INNER_MAP | BPF_F_MMAPABLE)

/* A cache folder that cannot be used is no failure: see tables_note(). */
int tables_new(const struct tables_options *options, struct tables **ret, struct dhat_error *err);
void tables_free(struct tables *tables); /* all tables must have been put */

struct object_identity {
	const uint8_t *build_id;
	size_t build_id_size; /* 0: none */
	bool is_image;	      /* a copy of a process's memory (the vDSO), made by us: */
	uid_t image_owner; /* whose process; the file's owner says nothing. Not cached on disk. */
};

/* fd: of the object, regular file, stays the caller's. Fails only for want of memory; an object
 * without rules gets a table without a map. */
int tables_get(struct tables *tables, int fd, const struct object_identity *identity,
	       const struct table **ret, struct dhat_error *err);
/* Would it be had in a moment: in memory, or on disk? */
bool tables_are_kept(struct tables *tables, int fd, const struct object_identity *identity);
void tables_put(struct tables *tables, const struct table *table); /* NULL is fine */

/* Why there is no cache on disk; "" if there is one, or none is wanted. */
const char *tables_note(const struct tables *tables);
