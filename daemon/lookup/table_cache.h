#pragma once
/* table_cache: unwind tables kept on disk between runs.
 *
 * One file a table in a folder that only its owner may enter. Files are written whole (temporary
 * file, then rename) and carry a version, their key and a checksum; one that is not right in every
 * respect is removed and the table is built anew. Bound: max_bytes for all files together; the
 * longest unused go first. Thread-safe, and several daemons may share a folder.
 */
#include <stdbool.h>

#include "daemon/object/cfi/cfi_table.h"
#include "proto/base/error.h"

struct table_cache;

/* Raise when bpf/dhat_abi.h's rows or the rules that cfi_build() makes of a file change:
 * test_table_cache.c has the hash of one file's, and fails then. */
#define TABLE_CACHE_VERSION 10
#define TABLE_CACHE_KEY_BYTES 192 /* of a key, its NUL included */

/* Makes the folder (mode 0700) if need be; one of ours that others may enter, and write nothing to,
 * is closed to them. -EPERM: it is somebody else's, or others may write to it. */
int table_cache_new(const char *path, uint64_t max_bytes, struct table_cache **ret,
		    struct dhat_error *err);
void table_cache_free(struct table_cache *cache);

/* key: file-name characters only. -ENOENT: not there, or broken. */
int table_cache_load(struct table_cache *cache, const char *key, struct cfi_table **ret);
/* -EFBIG: bigger than the whole cache may be. Failure leaves the cache as it was. */
int table_cache_store(struct table_cache *cache, const char *key, const struct cfi_table *table);
/* Is one there? It may still turn out to be broken. */
bool table_cache_has(struct table_cache *cache, const char *key);
