#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/lookup/table_cache.h"
#include "daemon/object/cfi/cfi.h"
#include "proto/base/cleanup.h"
#include "tests/unit/folder.h"

static struct table_cache *open_cache(uint64_t max_bytes)
{
	struct table_cache *cache = NULL;

	assert_int_equal(table_cache_new(folder, max_bytes, &cache, NULL), 0);
	return cache;
}

static struct cfi_table make_table(uint64_t *words, uint32_t word_count, uint64_t seed)
{
	uint32_t i;

	for (i = 0; i < word_count; i++)
		words[i] = seed + i;
	return (struct cfi_table){
		.first_page_vaddr = 0x10000 * seed,
		.word_count = word_count,
		.words = words,
		.row_count = word_count - 3,
		.code_bytes = 1000 + seed,
		.code_bytes_by_cfa = { 1, 2, 3, 4, 5, 6, 7, 8 },
		.unrepresentable_bytes = 9,
		.unread_functions = 10,
	};
}

static void assert_same(const struct cfi_table *a, const struct cfi_table *b)
{
	assert_int_equal(a->first_page_vaddr, b->first_page_vaddr);
	assert_int_equal(a->word_count, b->word_count);
	assert_int_equal(a->row_count, b->row_count);
	assert_int_equal(a->code_bytes, b->code_bytes);
	assert_int_equal(a->unrepresentable_bytes, b->unrepresentable_bytes);
	assert_int_equal(a->unread_functions, b->unread_functions);
	assert_memory_equal(a->code_bytes_by_cfa, b->code_bytes_by_cfa,
			    sizeof(a->code_bytes_by_cfa));
	assert_memory_equal(a->words, b->words, 8ull * a->word_count);
}

static void test_what_was_stored_is_loaded(void **state)
{
	struct table_cache *cache = open_cache(1 << 20);
	struct cfi_table table, *loaded = NULL;
	uint64_t words[100];
	struct stat st;
	char path[100];

	table = make_table(words, 100, 7);
	assert_int_equal(table_cache_load(cache, "build-0-aa", &loaded), -ENOENT);
	assert_int_equal(table_cache_store(cache, "build-0-aa", &table), 0);
	table_cache_free(cache);
	cache = open_cache(1 << 20);
	assert_int_equal(table_cache_load(cache, "build-0-aa", &loaded), 0);
	assert_same(&table, loaded);
	cfi_table_free(loaded);
	snprintf(path, sizeof(path), "%s/build-0-aa", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	table_cache_free(cache);
}

/* Each byte of a file in turn is changed; none may change what is loaded. */
static void test_a_damaged_file_is_no_table(void **state)
{
	struct table_cache *cache = open_cache(1 << 20);
	struct cfi_table table, *loaded = NULL;
	uint64_t words[10];
	char path[100], byte;
	off_t at, size;
	int fd;

	table = make_table(words, 10, 7);
	snprintf(path, sizeof(path), "%s/key", folder);
	assert_int_equal(table_cache_store(cache, "key", &table), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	size = lseek(fd, 0, SEEK_END);
	close(fd);
	assert_in_range(size, 300, 600);
	for (at = 0; at < size; at++) {
		assert_int_equal(table_cache_store(cache, "key", &table), 0);
		fd = open(path, O_RDWR | O_CLOEXEC);
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		assert_int_equal(table_cache_load(cache, "key", &loaded), -ENOENT);
		assert_int_equal(access(path, F_OK), -1); /* and gone */
	}
	for (at = 0; at < size; at += 7) {
		assert_int_equal(table_cache_store(cache, "key", &table), 0);
		assert_int_equal(truncate(path, at), 0);
		assert_int_equal(table_cache_load(cache, "key", &loaded), -ENOENT);
	}
	assert_null(loaded);
	table_cache_free(cache);
}

static void test_a_file_under_another_name_is_no_table(void **state)
{
	struct table_cache *cache = open_cache(1 << 20);
	struct cfi_table table, *loaded = NULL;
	char from[100], to[100];
	uint64_t words[10];

	table = make_table(words, 10, 7);
	assert_int_equal(table_cache_store(cache, "build-0-aa", &table), 0);
	snprintf(from, sizeof(from), "%s/build-0-aa", folder);
	snprintf(to, sizeof(to), "%s/build-0-bb", folder);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(table_cache_load(cache, "build-0-bb", &loaded), -ENOENT);
	assert_int_equal(symlink("/etc/passwd", from), 0);
	assert_int_equal(table_cache_load(cache, "build-0-aa", &loaded), -ENOENT);
	assert_int_equal(table_cache_load(cache, "../etc", &loaded), -ENOENT);
	assert_int_equal(table_cache_store(cache, "../etc", &table), -EINVAL);
	table_cache_free(cache);
}

static void age(const char *key, time_t seconds)
{
	struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };
	char path[100];

	snprintf(path, sizeof(path), "%s/%s", folder, key);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_the_longest_unused_go_first(void **state)
{
	struct table_cache *cache = open_cache(3000); /* three tables of 100 words */
	struct cfi_table table, *loaded = NULL;
	uint64_t words[1000];

	table = make_table(words, 80, 1);
	assert_int_equal(table_cache_store(cache, "a", &table), 0);
	assert_int_equal(table_cache_store(cache, "b", &table), 0);
	assert_int_equal(table_cache_store(cache, "c", &table), 0);
	age("a", 1000);
	age("b", 2000);
	age("c", 3000);
	assert_int_equal(table_cache_load(cache, "a", &loaded), 0); /* used just now */
	cfi_table_free(loaded);
	loaded = NULL;
	assert_int_equal(table_cache_store(cache, "d", &table), 0);
	assert_int_equal(table_cache_load(cache, "b", &loaded), -ENOENT);
	assert_int_equal(table_cache_load(cache, "a", &loaded), 0);
	cfi_table_free(loaded);
	loaded = NULL;
	table = make_table(words, 1000, 1);
	assert_int_equal(table_cache_store(cache, "big", &table), -EFBIG);
	assert_int_equal(table_cache_load(cache, "c", &loaded), 0); /* the others are still there */
	cfi_table_free(loaded);
	table_cache_free(cache);
}

static void test_left_over_files_go(void **state)
{
	struct table_cache *cache = open_cache(1 << 20);
	struct cfi_table table;
	uint64_t words[10];
	char path[100];

	snprintf(path, sizeof(path), "%s/.new-1-1", folder);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	age(".new-1-1", 1000);
	table = make_table(words, 10, 1);
	assert_int_equal(table_cache_store(cache, "a", &table), 0);
	assert_int_equal(access(path, F_OK), -1);
	table_cache_free(cache);
}

static void test_a_folder_open_to_others_is_refused(void **state)
{
	struct table_cache *cache = NULL;
	struct dhat_error err = {};

	struct stat st;

	assert_int_equal(chmod(folder, 0775), 0);
	assert_int_equal(table_cache_new(folder, 1 << 20, &cache, &err), -EPERM);
	assert_non_null(strstr(err.message, folder));
	/* to be read only: it is ours, and is closed */
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(table_cache_new(folder, 1 << 20, &cache, &err), 0);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	table_cache_free(cache);
	cache = NULL;
	err = (struct dhat_error){};
	assert_int_equal(table_cache_new("/proc/no/such", 1 << 20, &cache, &err), -ENOENT);
	assert_null(cache);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

/* ---- the version ----------------------------------------------------------------------------- */

#define ROWS_VERSION 10
#define ROWS_HASH 0x9f273ff03b7a194ull
#define MAX_ROWS 100000

/* FNV-1a */
static uint64_t hash_words(const struct cfi_table *table)
{
	const uint8_t *bytes = (const uint8_t *)table->words;
	uint64_t hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < 8ull * table->word_count; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	return hash;
}

/* Old tables are on disks: rows that become others for the same file need another version, or they
 * come back. rows.so has some of each kind; it is a file, and not made here, since assemblers and
 * linkers differ. */
static void test_other_rows_have_another_version(void **state)
{
	static const uint8_t kinds[] = { DHAT_CFA_SP,	  DHAT_CFA_FP,	DHAT_CFA_PLT,
					 DHAT_CFA_SIGNAL, DHAT_CFA_END, DHAT_CFA_CHAIN };
	_cleanup_close_ int fd = open("tests/golden/rows.so", O_RDONLY | O_CLOEXEC);
	uint32_t seen = 0, first;
	struct cfi_table *table = NULL;
	bool is_read = false, is_endless = false;

	assert_true(fd >= 0);
	assert_int_equal(cfi_build(fd, MAX_ROWS, &table, NULL), 0);
	first = (uint32_t)table->words[0] + 2; /* bpf/dhat_abi.h */
	for (uint32_t i = first; i < first + table->row_count; i++) {
		uint8_t cfa = (uint8_t)(table->words[i] >> 16);

		seen |= 1u << (cfa & DHAT_CFA_KIND);
		is_read |= cfa & DHAT_CFA_READ;
		is_endless |= cfa & DHAT_CFA_ENDLESS;
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!(seen >> kinds[i] & 1))
			fail_msg("rows.so has no row of kind %u", kinds[i]);
	assert_true(is_read && is_endless);
	if (TABLE_CACHE_VERSION != ROWS_VERSION || hash_words(table) != ROWS_HASH)
		fail_msg(
			"rows of version %d have the hash %#llx: raise TABLE_CACHE_VERSION if they "
			"are others than before, and write both here",
			TABLE_CACHE_VERSION, (unsigned long long)hash_words(table));
	cfi_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_was_stored_is_loaded),
		TEST(test_a_damaged_file_is_no_table),
		TEST(test_a_file_under_another_name_is_no_table),
		TEST(test_the_longest_unused_go_first),
		TEST(test_left_over_files_go),
		TEST(test_a_folder_open_to_others_is_refused),
		TEST(test_other_rows_have_another_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
