/* inventory_judge: is an inventory from outside what the process itself says of its heap?
 *
 * Programs with heaps of every kind print mallinfo2() and each block that they hold; the inventory
 * must have the same sums to the byte, every one of these blocks with its usable size, and nothing
 * else but what libc itself keeps.
 *
 * DHATD_LIBC=DIR: they run with the glibc in that directory, and by its own loader; those that are
 * static are DIR/inventory_static.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/inventory/inventory.h"
#include "daemon/proc/procmaps.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct inventory *, inventory_free)

#define MOST_REALLOCS 14 /* of large blocks, in any of the programs */

struct subject {
	pid_t pid;
	FILE *out;
	int in;
	size_t arena, uordblks, fordblks, fsmblks, hblkhd, hblks;
	struct inventory_block *blocks; /* what it says that it holds */
	size_t count;
};

static void subject_stop(struct subject *subject)
{
	if (subject->pid) {
		kill(subject->pid, SIGKILL);
		waitpid(subject->pid, NULL, 0);
	}
	if (subject->out)
		fclose(subject->out);
	if (subject->in > 0)
		close(subject->in);
	free(subject->blocks);
}

static _Noreturn void run_subject(const char *program, const char *kind)
{
	const char *build = getenv("DHATD_BUILD") ?: "build", *libc = getenv("DHATD_LIBC");
	bool is_static = strstr(program, "static");
	char path[512], loader[512];

	snprintf(path, sizeof(path), "%s/%s%s", libc && is_static ? libc : build,
		 libc && is_static ? "" : "tests/targets/", program);
	if (libc && !is_static) {
		snprintf(loader, sizeof(loader), "%s/ld-linux-x86-64.so.2", libc);
		execl(loader, loader, "--library-path", libc, path, kind, NULL);
	} else {
		execl(path, path, kind, NULL);
	}
	_exit(127);
}

/* tunables: glibc's, or NULL. */
static void subject_start_with(const char *program, const char *kind, const char *tunables,
			       struct subject *ret)
{
	int out[2], in[2];

	assert_int_equal(pipe(out), 0);
	assert_int_equal(pipe(in), 0);
	ret->pid = fork();
	if (ret->pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[1]);
		close(out[0]);
		if (tunables)
			setenv("GLIBC_TUNABLES", tunables, 1);
		run_subject(program, kind);
	}
	close(in[0]);
	close(out[1]);
	ret->in = in[1];
	ret->out = fdopen(out[0], "r");
	assert_non_null(ret->out);
}

static void subject_start(const char *program, const char *kind, struct subject *ret)
{
	subject_start_with(program, kind, NULL, ret);
}

static void subject_read_report(struct subject *subject)
{
	char line[256];

	assert_non_null(fgets(line, sizeof(line), subject->out));
	assert_int_equal(sscanf(line, "mallinfo %zu %zu %zu %zu %zu %zu", &subject->arena,
				&subject->uordblks, &subject->fordblks, &subject->fsmblks,
				&subject->hblkhd, &subject->hblks),
			 6);
	while (fgets(line, sizeof(line), subject->out) && strcmp(line, "end\n") != 0) {
		struct inventory_block block;

		assert_int_equal(sscanf(line, "block %lx %lu", &block.addr, &block.usable_bytes),
				 2);
		subject->blocks = reallocarray(subject->blocks, subject->count + 1, sizeof(block));
		assert_non_null(subject->blocks);
		subject->blocks[subject->count++] = block;
	}
}

static int take_some(const struct subject *subject, uint64_t max_blocks, struct inventory **ret)
{
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	const struct inventory_limits limits = { .max_blocks = max_blocks };
	struct dhat_error err = { 0 };
	int error;

	assert_int_equal(procmaps_read(subject->pid, &maps), 0);
	error = inventory_take(subject->pid, &maps, &limits, ret, &err);
	assert_int_equal(error == 0, err.code == DHAT_EXIT_OK);
	return error;
}

static int take(const struct subject *subject, struct inventory **ret)
{
	return take_some(subject, 0, ret);
}

static int by_addr(const void *a, const void *b)
{
	const struct inventory_block *x = a, *y = b;

	return (x->addr > y->addr) - (x->addr < y->addr);
}

static void has_all_blocks(const struct inventory *inventory, const struct subject *subject)
{
	for (size_t i = 0; i < subject->count; i++) {
		const struct inventory_block *found =
			bsearch(&subject->blocks[i], inventory->blocks, inventory->count,
				sizeof(*inventory->blocks), by_addr);

		assert_non_null(found);
		assert_int_equal(found->usable_bytes, subject->blocks[i].usable_bytes);
	}
}

/* libc_blocks: what libc allocates for itself, at most (a vector for each thread's TLS). */
static void agrees_with(const char *program, const char *kind, const char *tunables,
			size_t libc_blocks)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	_cleanup_(subject_stop) struct subject subject = { 0 };

	subject_start_with(program, kind, tunables, &subject);
	subject_read_report(&subject);
	assert_int_equal(take(&subject, &inventory), 0);
	print_message("%s: %zu blocks, uordblks %zu, hblkhd %zu %s\n", kind, inventory->count,
		      subject.uordblks, subject.hblkhd, inventory->note);
	assert_true(inventory->is_complete);
	assert_int_equal(inventory->arena_block_bytes + inventory->cached_bytes +
				 inventory->internal_bytes,
			 subject.uordblks);
	assert_int_equal(inventory->arena_bytes, subject.arena);
	assert_int_equal(inventory->free_bytes + inventory->fastbin_bytes, subject.fordblks);
	assert_int_equal(inventory->fastbin_bytes, subject.fsmblks);
	/* from 2.43 on hblkhd is 16 too large for each realloc() that moved a mapping's end */
	assert_in_range(subject.hblkhd - inventory->mmapped_bytes, 0,
			getenv("DHATD_LIBC") ? 16 * MOST_REALLOCS : 0);
	assert_int_equal(inventory->mmapped_bytes % 4096, 0);
	assert_int_equal(inventory->mmapped_count + inventory->cached_mmapped_count, subject.hblks);
	has_all_blocks(inventory, &subject);
	assert_in_range(inventory->count, subject.count, subject.count + libc_blocks);
}

static void agrees(const char *program, const char *kind, size_t libc_blocks)
{
	agrees_with(program, kind, NULL, libc_blocks);
}

static void one_block(void **state)
{
	agrees("inventory", "one", 0);
}

static void a_fragmented_heap(void **state)
{
	agrees("inventory", "fragmented", 0);
}

static void large_and_aligned_blocks(void **state)
{
	agrees("inventory", "large", 0);
}

static void full_caches_and_fastbins(void **state)
{
	agrees("inventory", "all-freed", 0);
}

static void many_arenas(void **state)
{
	agrees("inventory", "threads", 24);
}

static void arenas_that_were_left(void **state)
{
	agrees("inventory", "ended-threads", 24);
}

static void an_arena_of_several_heaps(void **state)
{
	agrees("inventory", "several-heaps", 1);
}

static void a_static_program(void **state)
{
	agrees("inventory_static", "fragmented", 8);
	agrees("inventory_static", "threads", 24 + 8);
	agrees("inventory_static", "large", 8);
}

static void others_move_the_break(void **state)
{
	agrees("inventory", "foreign-break", 0);
	agrees("inventory_static", "foreign-break", 8);
}

static void the_break_cannot_be_moved(void **state)
{
	agrees("inventory", "blocked-break", 0);
	agrees("inventory", "break-blocked-later", 0);
	agrees("inventory_static", "break-blocked-later", 8);
}

static void a_heap_of_several_mappings(void **state)
{
	agrees("inventory", "madvised", 0);
	agrees_with("inventory", "fragmented", "glibc.malloc.hugetlb=1", 0);
	agrees_with("inventory", "threads", "glibc.malloc.hugetlb=1", 24);
}

/* There need be none: malloc falls back on small ones then, and still grows by large steps. */
static void large_pages(void **state)
{
	static const char *const kinds[] = { "one", "fragmented", "all-freed", "large" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		agrees_with("inventory", kinds[i], "glibc.malloc.hugetlb=2", 0);
	agrees_with("inventory", "threads", "glibc.malloc.hugetlb=2", 24);
	agrees_with("inventory", "several-heaps", "glibc.malloc.hugetlb=2", 1);
}

static void other_tunables(void **state)
{
	agrees_with("inventory", "fragmented", "glibc.malloc.tcache_count=0", 0);
	agrees_with("inventory", "threads", "glibc.malloc.arena_max=1", 24);
	agrees_with("inventory", "fragmented", "glibc.malloc.mmap_threshold=4096", 0);
	agrees_with("inventory", "fragmented", "glibc.malloc.mxfast=160", 0);
	agrees_with("inventory", "fragmented", "glibc.malloc.perturb=85", 0);
}

/* Up to 2.41 they hold blocks of 1,032 bytes at most whatever is wanted; since then of 4 MiB. */
static void caches_of_all_sizes(void **state)
{
	static const char *const tunables[] = {
		NULL,
		"glibc.malloc.tcache_max=0",
		"glibc.malloc.tcache_max=500",
		"glibc.malloc.tcache_max=1500",
		"glibc.malloc.tcache_max=65536",
		"glibc.malloc.tcache_max=4194303",
		"glibc.malloc.tcache_max=4194303:glibc.malloc.tcache_count=2",
		"glibc.malloc.tcache_max=4194303:glibc.malloc.mmap_threshold=4096",
		"glibc.malloc.tcache_count=100",
		"glibc.malloc.tcache_count=0",
	};

	for (size_t i = 0; i < ARRAY_SIZE(tunables); i++) {
		agrees_with("inventory", "all-freed", tunables[i], 0);
		agrees_with("inventory", "cached", tunables[i], 0);
		agrees_with("inventory", "cached-in-threads", tunables[i], 24);
	}
}

/* Since 2.43 who frees nothing has no cache. */
static void nothing_freed(void **state)
{
	agrees("inventory", "nothing-freed", 0);
	agrees("inventory", "nothing-freed-in-threads", 24);
}

/* mallinfo2() is of the program's own. */
static void two_libcs(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	_cleanup_(subject_stop) struct subject subject = { 0 };

	subject_start("inventory", "two-libcs", &subject);
	subject_read_report(&subject);
	assert_int_equal(take(&subject, &inventory), 0);
	print_message("two-libcs: %zu blocks of %zu %s\n", inventory->count, subject.count,
		      inventory->note);
	assert_true(inventory->is_complete);
	assert_true(subject.count > 3000);
	has_all_blocks(inventory, &subject);
	/* and what the dynamic loader and the second libc have for themselves */
	assert_in_range(inventory->count, subject.count, subject.count + 40);
	assert_true(inventory->arena_bytes > subject.arena);
}

/* What lies behind the damage is not guessed at. */
static void a_damaged_heap(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	_cleanup_(subject_stop) struct subject subject = { 0 };

	subject_start("inventory", "damaged", &subject);
	subject_read_report(&subject);
	assert_int_equal(take(&subject, &inventory), 0);
	print_message("damaged: %s\n", inventory->note);
	assert_false(inventory->is_complete);
	assert_int_equal(inventory->count, 999); /* the head behind the last one is damaged */
	/* 3000 chunks of 1008 bytes, and the top behind them */
	assert_in_range(inventory->unseen_bytes, 3000 * 1008, 3000 * 1008 + (132 << 10) + 4096);
	assert_non_null(strstr(inventory->note, "the chain of blocks breaks at 0x"));
}

/* Without fastbins libc itself notices, and ends the program. */
static bool is_ended_by_libc(struct subject *subject)
{
	int status, c = fgetc(subject->out);

	if (c != EOF) {
		ungetc(c, subject->out);
		return false;
	}
	assert_non_null(getenv("DHATD_LIBC"));
	assert_int_equal(waitpid(subject->pid, &status, 0), subject->pid);
	subject->pid = 0;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	return true;
}

/* Lists that run in circles end, and what is in them is known to be free all the same. */
static void blocks_freed_twice(void **state)
{
	static const char *const kinds[] = { "freed-twice", "circular-cache" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
		_cleanup_(subject_stop) struct subject subject = { 0 };

		subject_start("inventory", kinds[i], &subject);
		if (i == 0 && is_ended_by_libc(&subject))
			continue;
		subject_read_report(&subject);
		assert_int_equal(take_some(&subject, 2000, &inventory), 0);
		assert_false(inventory->is_complete);
		assert_non_null(strstr(inventory->note, "1 list of free blocks runs in a circle"));
		has_all_blocks(inventory, &subject);
		/* a[11] … a[15] were not freed; a[7] and a[8] were, and nothing leads to them any
		 * more; a[9] and a[10] are in the circle */
		assert_int_equal(inventory->count, subject.count + (i == 0 ? 7 : 0));
		assert_int_equal(inventory->unseen_bytes, 0);
	}
}

static void stopped_or_out_of_time(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	_cleanup_(subject_stop) struct subject subject = { 0 };
	struct dhat_error err = { 0 };
	atomic_bool stop = true;

	subject_start("inventory", "fragmented", &subject);
	subject_read_report(&subject);
	assert_int_equal(procmaps_read(subject.pid, &maps), 0);
	assert_int_equal(inventory_take(subject.pid, &maps,
					&(struct inventory_limits){ .stop = &stop }, &inventory,
					NULL),
			 -ECANCELED);
	assert_int_equal(inventory_take(subject.pid, &maps,
					&(struct inventory_limits){ .max_ns = 1 }, &inventory,
					&err),
			 -ETIMEDOUT);
	assert_non_null(strstr(err.message, "was not read to its end"));
	assert_null(inventory);
}

/* Not stopped, and changing all the time: what stands still is found all the same, every time. */
static void a_busy_process(void **state)
{
	_cleanup_(subject_stop) struct subject subject = { 0 };
	int complete = 0;

	subject_start("inventory", "busy", &subject);
	subject_read_report(&subject);
	for (int i = 0; i < 40; i++) {
		_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

		assert_int_equal(take(&subject, &inventory), 0);
		has_all_blocks(inventory, &subject);
		/* the churning threads hold 64 each, and libc some */
		assert_in_range(inventory->count, subject.count, subject.count + 2 * 64 + 4 + 256);
		complete += inventory->is_complete;
		if (!inventory->is_complete)
			print_message("# %s\n", inventory->note);
	}
	print_message("# %d of 40 inventories of a busy process are complete\n", complete);
	assert_int_equal(waitpid(subject.pid, NULL, WNOHANG), 0); /* and it lives */
}

static void where_there_is_no_heap(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	_cleanup_(subject_stop) struct subject subject = { 0 };

	subject_start("inventory", "nothing", &subject);
	subject_read_report(&subject);
	assert_int_equal(take(&subject, &inventory), 0);
	assert_int_equal(inventory->count, 0);
	assert_true(inventory->is_complete);
}

static void more_blocks_than_it_may_list(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	_cleanup_(subject_stop) struct subject subject = { 0 };

	subject_start("inventory", "fragmented", &subject);
	subject_read_report(&subject);
	assert_int_equal(take_some(&subject, 1000, &inventory), -E2BIG);
	assert_null(inventory);
	assert_int_equal(take_some(&subject, 1000000, &inventory), 0);
}

static void a_process_that_is_gone(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	struct subject subject = { 0 };
	struct dhat_error err = { 0 };
	pid_t pid;

	subject_start("inventory", "fragmented", &subject);
	subject_read_report(&subject);
	pid = subject.pid;
	assert_int_equal(procmaps_read(pid, &maps), 0);
	subject_stop(&subject);
	assert_true(inventory_take(pid, &maps, &(struct inventory_limits){ 0 }, &inventory, &err) <
		    0);
	assert_null(inventory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_block),
		cmocka_unit_test(a_fragmented_heap),
		cmocka_unit_test(large_and_aligned_blocks),
		cmocka_unit_test(full_caches_and_fastbins),
		cmocka_unit_test(many_arenas),
		cmocka_unit_test(arenas_that_were_left),
		cmocka_unit_test(an_arena_of_several_heaps),
		cmocka_unit_test(a_static_program),
		cmocka_unit_test(others_move_the_break),
		cmocka_unit_test(the_break_cannot_be_moved),
		cmocka_unit_test(a_heap_of_several_mappings),
		cmocka_unit_test(large_pages),
		cmocka_unit_test(other_tunables),
		cmocka_unit_test(caches_of_all_sizes),
		cmocka_unit_test(nothing_freed),
		cmocka_unit_test(two_libcs),
		cmocka_unit_test(a_damaged_heap),
		cmocka_unit_test(blocks_freed_twice),
		cmocka_unit_test(stopped_or_out_of_time),
		cmocka_unit_test(a_busy_process),
		cmocka_unit_test(where_there_is_no_heap),
		cmocka_unit_test(more_blocks_than_it_may_list),
		cmocka_unit_test(a_process_that_is_gone),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("inventory", tests, NULL, NULL);
}
