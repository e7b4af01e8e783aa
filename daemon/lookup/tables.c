#include "tables.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "daemon/worker/worker.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "table_cache.h"

struct entry {
	struct table table; /* first: callers hold a pointer to it */
	TAILQ_ENTRY(entry) link;
	char key[TABLE_CACHE_KEY_BYTES];
	unsigned int user_count;
	bool is_ready;
};

TAILQ_HEAD(entry_list, entry);

struct tables {
	pthread_mutex_t lock;
	pthread_cond_t is_built;
	struct entry_list entries; /* longest unused first */
	uint64_t max_memory_bytes, memory_bytes;
	struct table_cache *cache; /* NULL: none */
	struct dhat_error cache_error;
	int (*build)(struct worker *worker, int fd, uint32_t max_rows, struct cfi_table **ret,
		     struct dhat_error *err);
	struct worker *worker;
};

DEFINE_CLEANUP_PTR(struct cfi_table *, cfi_table_free)

static void entry_free(struct entry *entry)
{
	if (!entry)
		return;
	if (entry->table.map_fd >= 0)
		close(entry->table.map_fd);
	free(entry);
}

int tables_new(const struct tables_options *options, struct tables **ret, struct dhat_error *err)
{
	const char *cache_path;
	struct tables *tables;

	tables = calloc(1, sizeof(*tables));
	if (!tables)
		return dhat_error_errno(err, ENOMEM, "cannot make the list of unwind tables");
	pthread_mutex_init(&tables->lock, NULL);
	pthread_cond_init(&tables->is_built, NULL);
	TAILQ_INIT(&tables->entries);
	tables->max_memory_bytes = options->max_memory_bytes ?: TABLES_MAX_MEMORY_BYTES;
	tables->build = options->build ?: worker_build_cfi;
	tables->worker = options->worker;
	cache_path = options->cache_path ?: TABLES_CACHE_PATH;
	if (*cache_path)
		table_cache_new(cache_path, options->max_cache_bytes ?: TABLES_MAX_CACHE_BYTES,
				&tables->cache, &tables->cache_error);
	*ret = tables;
	return 0;
}

void tables_free(struct tables *tables)
{
	struct entry *entry;

	if (!tables)
		return;
	while ((entry = TAILQ_FIRST(&tables->entries))) {
		TAILQ_REMOVE(&tables->entries, entry, link);
		entry_free(entry);
	}
	table_cache_free(tables->cache);
	pthread_cond_destroy(&tables->is_built);
	pthread_mutex_destroy(&tables->lock);
	free(tables);
}

const char *tables_note(const struct tables *tables)
{
	return tables->cache_error.message;
}

/* ---- who an object is --------------------------------------------------------------------- */

static int make_key(int fd, const struct object_identity *identity, char *key)
{
	uid_t owner = identity->image_owner;
	bool is_owned = identity->is_image;
	struct stat st;
	size_t i, used;

	if (!is_owned) {
		if (fstat(fd, &st) < 0)
			return -errno;
		owner = st.st_uid;
		is_owned = !(st.st_mode & (S_IWGRP | S_IWOTH));
	}
	if (!is_owned || !identity->build_id_size || identity->build_id_size > 64) {
		if (identity->is_image && fstat(fd, &st) < 0)
			return -errno;
		snprintf(key, TABLE_CACHE_KEY_BYTES, "file-%jx-%jx-%jx-%jx.%lx-%jx.%lx",
			 (uintmax_t)st.st_dev, (uintmax_t)st.st_ino, (uintmax_t)st.st_size,
			 (uintmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
			 (uintmax_t)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
		return 0;
	}
	used = (size_t)snprintf(key, TABLE_CACHE_KEY_BYTES, "%s-%u-",
				identity->is_image ? "image" : "build", owner);
	for (i = 0; i < identity->build_id_size; i++)
		snprintf(key + used + 2 * i, 3, "%02x", identity->build_id[i]);
	return 0;
}

/* ---- making a table ----------------------------------------------------------------------- */

/* The rows as a BPF array. An mmapable one is filled by plain stores. */
static int make_map(const struct cfi_table *table, uint64_t bytes, int *ret)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = TABLES_MAP_FLAGS);
	_cleanup_close_ int fd = -1;
	void *words;

	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "dhat_rows", 4, 8, table->word_count, &options);
	if (fd < 0)
		return -errno;
	words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (words == MAP_FAILED)
		return -errno;
	memcpy(words, table->words, 8ull * table->word_count);
	munmap(words, bytes);
	*ret = take_fd(fd);
	return 0;
}

static void fill_entry(struct entry *entry, const struct cfi_table *rows)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int r;

	entry->table.bytes = (8ull * rows->word_count + page - 1) & ~(page - 1);
	r = make_map(rows, entry->table.bytes, &entry->table.map_fd);
	if (r < 0) {
		entry->table.bytes = 0;
		snprintf(entry->table.reason, sizeof(entry->table.reason),
			 "the kernel refuses a map of %u unwind rows: %s", rows->row_count,
			 strerror(-r));
		return;
	}
	entry->table.first_page_vaddr = rows->first_page_vaddr;
	entry->table.code_bytes = rows->code_bytes;
	entry->table.unread_functions = rows->unread_functions;
	entry->table.row_count = rows->row_count;
}

/* Runs without the lock. */
static void make_entry(struct tables *tables, struct entry *entry, int fd, bool is_image)
{
	_cleanup_(cfi_table_free_ptr) struct cfi_table *rows = NULL;
	bool is_cached = tables->cache && !is_image;
	struct dhat_error err = {};

	if (!is_cached || table_cache_load(tables->cache, entry->key, &rows) != 0) {
		if (tables->build(tables->worker, fd, TABLES_MAX_ROWS, &rows, &err) < 0) {
			snprintf(entry->table.reason, sizeof(entry->table.reason), "%.255s",
				 err.code ? err.message : "unwind rows could not be built");
			return;
		}
		if (is_cached)
			table_cache_store(tables->cache, entry->key, rows);
	}
	fill_entry(entry, rows);
}

/* ---- the list ----------------------------------------------------------------------------- */

static void drop(struct tables *tables, struct entry *entry)
{
	TAILQ_REMOVE(&tables->entries, entry, link);
	tables->memory_bytes -= entry->table.bytes;
	entry_free(entry);
}

/* Give up unused tables, longest unused first, until the rest fits. */
static void shrink(struct tables *tables)
{
	struct entry *entry, *next;

	for (entry = TAILQ_FIRST(&tables->entries); entry; entry = next) {
		next = TAILQ_NEXT(entry, link);
		if (tables->memory_bytes <= tables->max_memory_bytes)
			return;
		if (entry->is_ready && !entry->user_count)
			drop(tables, entry);
	}
}

/* The entry's map is now counted, or taken away again if the budget does not allow it. */
static void charge(struct tables *tables, struct entry *entry)
{
	tables->memory_bytes += entry->table.bytes;
	shrink(tables);
	if (tables->memory_bytes <= tables->max_memory_bytes)
		return;
	tables->memory_bytes -= entry->table.bytes;
	snprintf(entry->table.reason, sizeof(entry->table.reason),
		 "unwind tables in use leave %" PRIu64 " KB of %" PRIu64
		 " MB, and it takes %" PRIu64 " KB",
		 (tables->max_memory_bytes - tables->memory_bytes) >> 10,
		 tables->max_memory_bytes >> 20, entry->table.bytes >> 10);
	entry->table.bytes = 0;
	close(take_fd(entry->table.map_fd));
}

static struct entry *find(struct tables *tables, const char *key)
{
	struct entry *entry;

	TAILQ_FOREACH(entry, &tables->entries, link)
	{
		if (strcmp(entry->key, key) == 0)
			return entry;
	}
	return NULL;
}

static struct entry *add(struct tables *tables, const char *key)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->table.map_fd = -1;
	memcpy(entry->key, key, strlen(key) + 1);
	TAILQ_INSERT_TAIL(&tables->entries, entry, link);
	return entry;
}

/* Called with the lock held, which it gives up while it builds. */
static struct entry *add_and_make(struct tables *tables, const char *key, int fd, bool is_image)
{
	struct entry *entry = add(tables, key);

	if (!entry)
		return NULL;
	entry->user_count = 1;
	pthread_mutex_unlock(&tables->lock);
	make_entry(tables, entry, fd, is_image);
	pthread_mutex_lock(&tables->lock);
	charge(tables, entry);
	entry->is_ready = true;
	pthread_cond_broadcast(&tables->is_built);
	return entry;
}

int tables_get(struct tables *tables, int fd, const struct object_identity *identity,
	       const struct table **ret, struct dhat_error *err)
{
	char key[TABLE_CACHE_KEY_BYTES];
	struct entry *entry;
	int r;

	r = make_key(fd, identity, key);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot look at an object of the target");
	pthread_mutex_lock(&tables->lock);
	entry = find(tables, key);
	if (entry) {
		entry->user_count++;
		while (!entry->is_ready)
			pthread_cond_wait(&tables->is_built, &tables->lock);
	} else {
		entry = add_and_make(tables, key, fd, identity->is_image);
	}
	pthread_mutex_unlock(&tables->lock);
	if (!entry)
		return dhat_error_errno(err, ENOMEM, "cannot keep an unwind table");
	*ret = &entry->table;
	return 0;
}

bool tables_are_kept(struct tables *tables, int fd, const struct object_identity *identity)
{
	char key[TABLE_CACHE_KEY_BYTES];
	struct entry *entry;
	bool is_kept;

	if (make_key(fd, identity, key) < 0)
		return false;
	pthread_mutex_lock(&tables->lock);
	entry = find(tables, key);
	is_kept = entry && entry->is_ready;
	pthread_mutex_unlock(&tables->lock);
	return is_kept || (!entry && tables->cache && !identity->is_image &&
			   table_cache_has(tables->cache, key));
}

void tables_put(struct tables *tables, const struct table *table)
{
	struct entry *entry = without_qualifiers(table);

	if (!entry)
		return;
	pthread_mutex_lock(&tables->lock);
	if (--entry->user_count == 0) {
		TAILQ_REMOVE(&tables->entries, entry, link);
		TAILQ_INSERT_TAIL(&tables->entries, entry, link);
		if (entry->table.map_fd < 0) /* the reason may have gone: try again next time */
			drop(tables, entry);
		shrink(tables);
	}
	pthread_mutex_unlock(&tables->lock);
}
