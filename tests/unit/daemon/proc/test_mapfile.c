/* mapfile: the file behind a mapping, also when another has taken its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/proc/mapfile.h"
#include "proto/base/cleanup.h"

#define SIZE 4096

struct file {
	char path[64];
	int fd;
	uint64_t inode;
};

static void make_file(struct file *ret)
{
	struct stat st;

	snprintf(ret->path, sizeof(ret->path), "/tmp/test_mapfile_XXXXXX");
	ret->fd = mkstemp(ret->path);
	assert_true(ret->fd >= 0);
	assert_int_equal(ftruncate(ret->fd, SIZE), 0);
	assert_int_equal(fstat(ret->fd, &st), 0);
	ret->inode = st.st_ino;
}

static void end_file(struct file *file)
{
	unlink(file->path);
	close(file->fd);
}

static void map_at(void **place, const struct file *file)
{
	int fixed = *place ? MAP_FIXED : 0;

	*place = mmap(*place, SIZE, PROT_READ, MAP_PRIVATE | fixed, file->fd, 0);
	assert_ptr_not_equal(*place, MAP_FAILED);
}

/* The inode that mapfile_open() gives for what was `file` at `place`; 0: none. */
static uint64_t opened(const void *place, const struct file *file)
{
	uint64_t start = (uintptr_t)place;
	_cleanup_close_ int fd =
		mapfile_open(getpid(), start, start + SIZE, file->path, file->inode);
	struct stat st;

	if (fd < 0)
		return 0;
	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/* Plugins that are loaded in turn get each other's addresses: one of them was taken for the other
 * when the change came between the look at maps and the opening. */
static void test_another_file_has_taken_the_place(void **state)
{
	struct file first, second;
	void *place = NULL;

	make_file(&first);
	make_file(&second);
	map_at(&place, &first);
	assert_int_equal(opened(place, &first), first.inode);
	map_at(&place, &second);
	assert_int_equal(opened(place, &first), first.inode); /* by its path */
	unlink(first.path);
	assert_int_equal(opened(place, &first), 0);
	munmap(place, SIZE);
	end_file(&first);
	end_file(&second);
}

static void test_a_deleted_file_is_had_while_it_is_mapped(void **state)
{
	struct file file;
	void *place = NULL;

	make_file(&file);
	map_at(&place, &file);
	unlink(file.path);
	/* needs CAP_CHECKPOINT_RESTORE */
	assert_int_equal(opened(place, &file), geteuid() == 0 ? file.inode : 0);
	munmap(place, SIZE);
	assert_int_equal(opened(place, &file), 0);
	end_file(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_another_file_has_taken_the_place),
		cmocka_unit_test(test_a_deleted_file_is_had_while_it_is_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
