#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "daemon/lookup/tables.h"
#include "daemon/object/cfi/cfi.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

/* Stands in for the worker: makes tables of build_words words, or fails. */
static atomic_uint build_calls;
static uint32_t build_words;
static int build_error;
/* Threads that ask for one table; the one that builds it waits until the others sleep. */
#define ASKING 8
static bool build_awaits_all;
static _Atomic pid_t asking[ASKING];

/* What a thread of this process does, a letter of proc(5). */
static char state_of(pid_t tid)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], text[256] = "", *name_end;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	name_end = strrchr(text, ')');
	assert_non_null(name_end);
	return name_end[2];
}

static void await_all(void)
{
	for (size_t i = 0; i < ASKING; i++)
		while (!asking[i] || (asking[i] != gettid() && state_of(asking[i]) != 'S'))
			sched_yield();
}

static int fake_build(struct worker *worker, int fd, uint32_t max_rows, struct cfi_table **ret,
		      struct dhat_error *err)
{
	struct cfi_table *table;
	uint32_t i;

	assert_ptr_equal(worker, &build_calls);
	atomic_fetch_add(&build_calls, 1);
	if (build_awaits_all)
		await_all();
	if (build_error)
		return dhat_error_set(err, build_error, DHAT_EXIT_BAD_FILE, "nothing but noise");
	table = calloc(1, sizeof(*table));
	table->word_count = build_words;
	table->words = calloc(build_words, 8);
	for (i = 0; i < build_words; i++)
		table->words[i] = 1000 + i;
	table->first_page_vaddr = 0x30000;
	table->row_count = build_words - 3;
	table->code_bytes = 4711;
	*ret = table;
	return 0;
}

static struct tables *new_tables(uint64_t max_memory_bytes, const char *cache_path)
{
	struct tables_options options = {
		.max_memory_bytes = max_memory_bytes,
		.cache_path = cache_path,
		.build = fake_build,
		.worker = without_qualifiers(&build_calls),
	};
	struct tables *tables = NULL;

	build_calls = 0;
	build_words = 1000;
	build_error = 0;
	build_awaits_all = false;
	assert_int_equal(tables_new(&options, &tables, NULL), 0);
	return tables;
}

/* An object whose build-id is one byte long. */
static const struct table *get_as(struct tables *tables, uint8_t build_id, uid_t owner)
{
	struct object_identity identity = { .build_id = &build_id, .build_id_size = 1 };
	const struct table *table = NULL;
	int fd = memfd_create("object", MFD_CLOEXEC);

	assert_true(fd >= 0);
	fchmod(fd, 0755);
	assert_int_equal(fchown(fd, owner, (gid_t)-1), 0);
	assert_int_equal(tables_get(tables, fd, &identity, &table, NULL), 0);
	close(fd);
	return table;
}

static const struct table *get(struct tables *tables, uint8_t build_id)
{
	return get_as(tables, build_id, geteuid());
}

static bool is_kept(struct tables *tables, uint8_t build_id)
{
	struct object_identity identity = { .build_id = &build_id, .build_id_size = 1 };
	int fd = memfd_create("object", MFD_CLOEXEC);
	bool is_kept;

	assert_true(fd >= 0 && fchmod(fd, 0755) == 0);
	is_kept = tables_are_kept(tables, fd, &identity);
	close(fd);
	return is_kept;
}

static bool needs_bpf(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "probe", 4, 8, 1, NULL);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}
#define NEEDS_BPF()                                                                                \
	do {                                                                                       \
		if (!needs_bpf()) {                                                                \
			print_message("needs the right to make BPF maps\n");                       \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/* The BPF maps that this process holds, and the bytes of their values. */
static uint64_t map_bytes(unsigned *ret_count)
{
	uint64_t bytes = 0;

	*ret_count = 0;
	for (int fd = 0; fd < 1024; fd++) {
		struct bpf_map_info info = { 0 };
		uint32_t size = sizeof(info);
		char path[64], name[64] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, name, sizeof(name) - 1) < 0 ||
		    strcmp(name, "anon_inode:bpf-map") != 0)
			continue;
		assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
		++*ret_count;
		bytes += (uint64_t)info.max_entries * info.value_size;
	}
	return bytes;
}

static void test_a_table_is_a_map_of_its_words(void **state)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = TABLES_MAP_FLAGS);
	_cleanup_close_ int template = -1, outer = -1;
	struct tables *tables;
	const struct table *table;
	uint32_t key;
	uint64_t word;

	NEEDS_BPF();
	tables = new_tables(0, "");
	table = get(tables, 1);
	assert_true(table->map_fd >= 0);
	assert_int_equal(table->first_page_vaddr, 0x30000);
	assert_int_equal(table->bytes, 8192);
	assert_int_equal(table->code_bytes, 4711);
	assert_int_equal(table->row_count, 997);
	assert_string_equal(table->reason, "");
	for (key = 0; key < 1000; key++) {
		assert_int_equal(bpf_map_lookup_elem(table->map_fd, &key, &word), 0);
		assert_int_equal(word, 1000 + key);
	}
	assert_int_equal(bpf_map_lookup_elem(table->map_fd, &key, &word), -ENOENT);

	/* targets put it in an outer map made for arrays of another length */
	template = bpf_map_create(BPF_MAP_TYPE_ARRAY, "template", 4, 8, 1, &options);
	assert_true(template >= 0);
	options.map_flags = 0;
	options.inner_map_fd = (uint32_t) template;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "outer", 4, 4, 2, &options);
	key = 1;
	assert_int_equal(bpf_map_update_elem(outer, &key, &table->map_fd, 0), 0);
	tables_put(tables, table);
	tables_free(tables);
}

static void test_one_table_for_all_users(void **state)
{
	const struct table *a, *b, *other;
	unsigned maps;
	struct tables *tables;

	NEEDS_BPF();
	tables = new_tables(2 * 8192, "");
	a = get(tables, 1);
	b = get(tables, 1);
	other = get(tables, 2);
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, other);
	assert_int_equal(build_calls, 2);
	tables_put(tables, a);
	tables_put(tables, other);
	assert_int_equal(map_bytes(&maps), 2 * 8000);
	assert_int_equal(maps, 2);
	assert_ptr_equal(get(tables, 2), other); /* kept while the budget allows */
	assert_int_equal(build_calls, 2);
	tables_put(tables, other);
	tables_put(tables, get(tables, 3)); /* in the place of the only one that nobody uses */
	assert_ptr_equal(get(tables, 1), a);
	tables_put(tables, a);
	assert_int_equal(build_calls, 3);
	other = get(tables, 2);
	assert_int_equal(build_calls, 4);
	assert_int_equal(map_bytes(&maps), 2 * 8000);
	tables_put(tables, b);
	tables_put(tables, other);
	tables_put(tables, NULL);
	tables_free(tables);
}

/* A build-id is its author's word: it counts among his own files only. */
static void test_a_lying_build_id_deceives_only_its_owner(void **state)
{
	uint8_t build_id = 1;
	struct object_identity image = { &build_id, 1, true, 1000 };
	const struct table *root, *user, *vdso;
	struct tables *tables;
	int fd;

	NEEDS_BPF();
	tables = new_tables(0, "");
	root = get_as(tables, 1, 0);
	user = get_as(tables, 1, 1000);
	assert_ptr_not_equal(root, user);
	fd = memfd_create("image", MFD_CLOEXEC); /* ours, but the contents are the target's */
	assert_int_equal(tables_get(tables, fd, &image, &vdso, NULL), 0);
	assert_ptr_not_equal(vdso, root);
	assert_ptr_not_equal(vdso, user);
	close(fd);
	tables_put(tables, root);
	tables_put(tables, user);
	tables_put(tables, vdso);
	tables_free(tables);
}

/* What anybody may write to, or has no build-id, is known by inode and times. */
static void test_without_a_build_id(void **state)
{
	uint8_t build_id = 1;
	struct object_identity none = {}, writable = { &build_id, 1, false, 0 };
	const struct table *a, *b, *c;
	struct tables *tables;
	int x, y;

	NEEDS_BPF();
	tables = new_tables(0, "");
	x = memfd_create("x", MFD_CLOEXEC);
	y = memfd_create("y", MFD_CLOEXEC);
	fchmod(y, 0777);
	assert_int_equal(tables_get(tables, x, &none, &a, NULL), 0);
	assert_int_equal(tables_get(tables, x, &none, &b, NULL), 0);
	assert_ptr_equal(a, b);
	tables_put(tables, b);
	assert_int_equal(ftruncate(x, 100), 0);
	assert_int_equal(tables_get(tables, x, &none, &b, NULL), 0);
	assert_ptr_not_equal(a, b);
	assert_int_equal(tables_get(tables, y, &writable, &c, NULL), 0);
	assert_int_equal(build_calls, 3);
	tables_put(tables, a);
	tables_put(tables, b);
	tables_put(tables, c);
	close(x);
	close(y);
	tables_free(tables);
}

static void test_the_budget_holds(void **state)
{
	const struct table *a, *b, *c;
	unsigned maps;
	struct tables *tables;

	NEEDS_BPF();
	tables = new_tables(2 * 8192, "");
	a = get(tables, 1);
	b = get(tables, 2);
	c = get(tables, 3); /* both others are in use */
	assert_int_equal(c->map_fd, -1);
	assert_non_null(strstr(c->reason, "in use"));
	assert_int_equal(map_bytes(&maps), 2 * 8000);
	assert_int_equal(maps, 2);
	tables_put(tables, c);
	tables_put(tables, b);
	tables_put(tables, a);
	c = get(tables, 3); /* b was unused for longer than a */
	assert_true(c->map_fd >= 0);
	assert_int_equal(build_calls, 4);
	a = get(tables, 1);
	assert_int_equal(build_calls, 4);
	tables_put(tables, a);
	b = get(tables, 2);
	assert_int_equal(build_calls, 5);
	assert_true(b->map_fd >= 0); /* in the place of a */
	assert_int_equal(map_bytes(&maps), 2 * 8000);
	assert_int_equal(maps, 2);
	tables_put(tables, b);
	tables_put(tables, c);
	tables_free(tables);
}

static void test_a_failure_has_a_reason_and_is_tried_again(void **state)
{
	struct tables *tables = new_tables(0, "");
	unsigned maps;
	const struct table *table;

	build_error = ENODATA;
	table = get(tables, 1);
	assert_int_equal(table->map_fd, -1);
	assert_string_equal(table->reason, "nothing but noise");
	assert_ptr_equal(get(tables, 1), table);
	assert_int_equal(build_calls, 1);
	tables_put(tables, table);
	tables_put(tables, table);
	assert_int_equal(map_bytes(&maps), 0);
	assert_int_equal(maps, 0);
	table = get(tables, 1);
	assert_int_equal(build_calls, 2);
	tables_put(tables, table);
	tables_free(tables);
}

static struct tables *asked;

static void *get_once(void *own)
{
	_Atomic pid_t *own_tid = own;

	*own_tid = gettid();
	return without_qualifiers(get(asked, 9));
}

static void test_many_ask_at_once(void **state)
{
	pthread_t threads[ASKING];
	void *results[ASKING];
	size_t i;

	NEEDS_BPF();
	asked = new_tables(0, "");
	build_awaits_all = true;
	for (i = 0; i < ASKING; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, get_once, &asking[i]), 0);
	for (i = 0; i < ASKING; i++)
		pthread_join(threads[i], &results[i]);
	assert_int_equal(build_calls, 1);
	for (i = 0; i < ASKING; i++) {
		assert_ptr_equal(results[i], results[0]);
		assert_true(((struct table *)results[i])->map_fd >= 0);
		tables_put(asked, results[i]);
	}
	tables_free(asked);
}

static void test_the_next_run_loads_it_from_disk(void **state)
{
	char folder[] = "/tmp/dhat-tables-XXXXXX", command[64];
	const struct table *table;
	struct tables *tables;
	uint64_t word;
	uint32_t key = 999;

	NEEDS_BPF();
	assert_non_null(mkdtemp(folder));
	tables = new_tables(0, folder);
	assert_string_equal(tables_note(tables), "");
	assert_false(is_kept(tables, 1));
	tables_put(tables, get(tables, 1));
	assert_int_equal(build_calls, 1);
	assert_true(is_kept(tables, 1));
	tables_free(tables);
	tables = new_tables(0, folder);
	assert_true(is_kept(tables, 1)); /* on disk */
	assert_false(is_kept(tables, 2));
	table = get(tables, 1);
	assert_int_equal(build_calls, 0);
	assert_int_equal(bpf_map_lookup_elem(table->map_fd, &key, &word), 0);
	assert_int_equal(word, 1999);
	tables_put(tables, table);
	tables_free(tables);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	tables = new_tables(0, "/proc/no/such");
	assert_non_null(strstr(tables_note(tables), "/proc/no/such"));
	table = get(tables, 1); /* goes on without */
	assert_true(table->map_fd >= 0);
	tables_put(tables, table);
	tables_free(tables);
}

static int build_here(struct worker *worker, int fd, uint32_t max_rows, struct cfi_table **ret,
		      struct dhat_error *err)
{
	return cfi_build(fd, max_rows, ret, err);
}

static void test_a_real_library(void **state)
{
	struct tables_options options = { .cache_path = "", .build = build_here };
	struct object_identity identity = {};
	_cleanup_close_ int fd = -1;
	const struct table *table;
	struct tables *tables;

	NEEDS_BPF();
	assert_int_equal(tables_new(&options, &tables, NULL), 0);
	fd = open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC);
	assert_int_equal(tables_get(tables, fd, &identity, &table, NULL), 0);
	assert_true(table->map_fd >= 0);
	assert_in_range(table->row_count, 10000, 100000);
	assert_true(table->bytes * 1000 < table->code_bytes * 300);
	tables_put(tables, table);
	tables_free(tables);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_table_is_a_map_of_its_words),
		cmocka_unit_test(test_one_table_for_all_users),
		cmocka_unit_test(test_a_lying_build_id_deceives_only_its_owner),
		cmocka_unit_test(test_without_a_build_id),
		cmocka_unit_test(test_the_budget_holds),
		cmocka_unit_test(test_a_failure_has_a_reason_and_is_tried_again),
		cmocka_unit_test(test_many_ask_at_once),
		cmocka_unit_test(test_the_next_run_loads_it_from_disk),
		cmocka_unit_test(test_a_real_library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
