#include "table_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define MAX_WORDS (64u << 20) /* half a gigabyte: no table is bigger */
#define TEMPORARY_PREFIX ".new-"
#define TEMPORARY_SECONDS 3600 /* an older one was left by a daemon that was killed */

struct table_cache {
	int dir;
	uint64_t max_bytes;
};

struct header {
	char magic[8];
	uint32_t version;
	uint32_t checksum; /* CRC-32 of all that follows */
	char key[TABLE_CACHE_KEY_BYTES];
	uint64_t first_page_vaddr;
	uint64_t code_bytes;
	uint64_t code_bytes_by_cfa[8];
	uint64_t unrepresentable_bytes;
	uint32_t word_count;
	uint32_t row_count;
	uint32_t unread_functions;
	uint32_t zero; /* so that nothing lies between */
};

static const char magic[8] = { 'D', 'H', 'A', 'T', 'R', 'O', 'W', 'S' };

DEFINE_CLEANUP_PTR(struct table_cache *, table_cache_free)
DEFINE_CLEANUP_PTR(struct cfi_table *, cfi_table_free)

static void cleanup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int table_cache_new(const char *path, uint64_t max_bytes, struct table_cache **ret,
		    struct dhat_error *err)
{
	_cleanup_(table_cache_free_ptr) struct table_cache *cache = NULL;
	struct stat st;

	cache = calloc(1, sizeof(*cache));
	if (!cache)
		return dhat_error_errno(err, ENOMEM, "cannot make a table cache");
	cache->max_bytes = max_bytes;
	cache->dir = -1;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return dhat_error_errno(err, errno, "cannot make the table cache %s", path);
	cache->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (cache->dir < 0 || fstat(cache->dir, &st) < 0)
		return dhat_error_errno(err, errno, "cannot open the table cache %s", path);
	/* as who mounts a folder of the host makes it; nobody else could have put anything there */
	if (st.st_uid == geteuid() && (st.st_mode & 077) && !(st.st_mode & 022) &&
	    fchmod(cache->dir, 0700) == 0)
		st.st_mode &= ~077u;
	if (st.st_uid != geteuid() || (st.st_mode & 077))
		return dhat_error_set(err, EPERM, DHAT_EXIT_NOT_PERMITTED,
				      "the table cache %s must be this user's, with mode 0700",
				      path);
	*ret = take_ptr(cache);
	return 0;
}

void table_cache_free(struct table_cache *cache)
{
	if (!cache)
		return;
	if (cache->dir >= 0)
		close(cache->dir);
	free(cache);
}

static bool is_key(const char *key)
{
	size_t length = strlen(key);

	return length && length < TABLE_CACHE_KEY_BYTES && key[0] != '.' && !strchr(key, '/');
}

static int read_whole(int fd, void *buffer, size_t size)
{
	char *at = buffer;
	ssize_t got;

	while (size) {
		got = read(fd, at, size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ENODATA;
		at += got;
		size -= (size_t)got;
	}
	return 0;
}

static int write_whole(int fd, const void *buffer, size_t size)
{
	const char *at = buffer;
	ssize_t put;

	while (size) {
		put = write(fd, at, size);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		at += put;
		size -= (size_t)put;
	}
	return 0;
}

static uint32_t checksum(const struct header *header, const uint64_t *words)
{
	size_t skip = offsetof(struct header, key);
	uLong sum = crc32_z(0, (const Bytef *)header + skip, sizeof(*header) - skip);

	return (uint32_t)crc32_z(sum, (const Bytef *)words, 8ull * header->word_count);
}

/* ---- loading ------------------------------------------------------------------------------ */

static int load(int fd, const char *key, struct cfi_table **ret)
{
	_cleanup_(cfi_table_free_ptr) struct cfi_table *table = NULL;
	struct header header;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return -EPERM;
	r = read_whole(fd, &header, sizeof(header));
	if (r < 0)
		return r;
	if (memcmp(header.magic, magic, sizeof(magic)) != 0 ||
	    header.version != TABLE_CACHE_VERSION || header.word_count > MAX_WORDS ||
	    (uint64_t)st.st_size != sizeof(header) + 8ull * header.word_count ||
	    strncmp(header.key, key, sizeof(header.key)) != 0)
		return -EBADMSG;
	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	table->words = malloc(8ull * header.word_count);
	if (!table->words)
		return -ENOMEM;
	r = read_whole(fd, table->words, 8ull * header.word_count);
	if (r < 0)
		return r;
	if (checksum(&header, table->words) != header.checksum)
		return -EBADMSG;
	table->first_page_vaddr = header.first_page_vaddr;
	table->word_count = header.word_count;
	table->row_count = header.row_count;
	table->code_bytes = header.code_bytes;
	table->unrepresentable_bytes = header.unrepresentable_bytes;
	table->unread_functions = header.unread_functions;
	memcpy(table->code_bytes_by_cfa, header.code_bytes_by_cfa,
	       sizeof(table->code_bytes_by_cfa));
	*ret = take_ptr(table);
	return 0;
}

int table_cache_load(struct table_cache *cache, const char *key, struct cfi_table **ret)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (!is_key(key))
		return -ENOENT;
	fd = openat(cache->dir, key, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -ENOENT;
	r = load(fd, key, ret);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		unlinkat(cache->dir, key, 0);
		return -ENOENT;
	}
	futimens(fd, NULL); /* used just now: the last to be evicted */
	return 0;
}

bool table_cache_has(struct table_cache *cache, const char *key)
{
	_cleanup_close_ int fd = -1;
	struct header header;

	if (!is_key(key))
		return false;
	fd = openat(cache->dir, key, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 && read_whole(fd, &header, sizeof(header)) == 0 &&
	       header.version == TABLE_CACHE_VERSION;
}

/* ---- storing ------------------------------------------------------------------------------ */

struct file {
	char name[256];
	uint64_t bytes;
	struct timespec used;
};

static int compare_files(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->used.tv_sec != y->used.tv_sec)
		return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
	return x->used.tv_nsec < y->used.tv_nsec ? -1 : x->used.tv_nsec > y->used.tv_nsec;
}

static bool is_left_over(const char *name, const struct stat *st)
{
	return strncmp(name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0 &&
	       st->st_mtim.tv_sec + TEMPORARY_SECONDS < time(NULL);
}

/* All tables in the folder; temporary files nobody will finish are removed on the way. */
static int list_files(struct table_cache *cache, struct file **ret, size_t *ret_count)
{
	_cleanup_(cleanup_closedir) DIR *dir = NULL;
	_cleanup_free_ struct file *files = NULL;
	size_t count = 0, capacity = 0;
	struct dirent *entry;
	struct stat st;
	int fd;

	fd = openat(cache->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir))) {
		if (fstatat(cache->dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (is_left_over(entry->d_name, &st))
			unlinkat(cache->dir, entry->d_name, 0);
		if (entry->d_name[0] == '.')
			continue;
		if (array_make_room(&files, &capacity, count))
			return -ENOMEM;
		memcpy(files[count].name, entry->d_name, sizeof(files[count].name));
		files[count].bytes = (uint64_t)st.st_size;
		files[count++].used = st.st_mtim;
	}
	*ret = take_ptr(files);
	*ret_count = count;
	return 0;
}

static void evict(struct table_cache *cache)
{
	_cleanup_free_ struct file *files = NULL;
	size_t i, count = 0;
	uint64_t all = 0;

	if (list_files(cache, &files, &count) < 0)
		return;
	qsort(files, count, sizeof(*files), compare_files);
	for (i = 0; i < count; i++)
		all += files[i].bytes;
	for (i = 0; i < count && all > cache->max_bytes; i++) {
		if (unlinkat(cache->dir, files[i].name, 0) == 0)
			all -= files[i].bytes;
	}
}

static int write_table(int fd, const char *key, const struct cfi_table *table)
{
	struct header header = {
		.version = TABLE_CACHE_VERSION,
		.first_page_vaddr = table->first_page_vaddr,
		.code_bytes = table->code_bytes,
		.unrepresentable_bytes = table->unrepresentable_bytes,
		.unread_functions = table->unread_functions,
		.word_count = table->word_count,
		.row_count = table->row_count,
	};
	int r;

	memcpy(header.magic, magic, sizeof(magic));
	memcpy(header.key, key, strlen(key));
	memcpy(header.code_bytes_by_cfa, table->code_bytes_by_cfa,
	       sizeof(header.code_bytes_by_cfa));
	header.checksum = checksum(&header, table->words);
	r = write_whole(fd, &header, sizeof(header));
	if (r < 0)
		return r;
	return write_whole(fd, table->words, 8ull * table->word_count);
}

int table_cache_store(struct table_cache *cache, const char *key, const struct cfi_table *table)
{
	static atomic_uint serial;
	_cleanup_close_ int fd = -1;
	char name[64];
	int r;

	if (!is_key(key) || table->word_count > MAX_WORDS)
		return -EINVAL;
	if (sizeof(struct header) + 8ull * table->word_count > cache->max_bytes)
		return -EFBIG;
	snprintf(name, sizeof(name), TEMPORARY_PREFIX "%d-%u", (int)getpid(),
		 atomic_fetch_add(&serial, 1));
	fd = openat(cache->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_table(fd, key, table);
	if (r == 0 && renameat(cache->dir, name, cache->dir, key) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(cache->dir, name, 0);
	else
		evict(cache);
	return r;
}
