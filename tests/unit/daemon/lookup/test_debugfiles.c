/* Which files may be handed to the worker, by names that come from a hostile ELF file. Devices and
 * FIFOs must not even be opened: inotify tells. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/lookup/debugfiles.h"
#include "daemon/proc/mapfile.h"
#include "proto/base/cleanup.h"

#define NOBODY 65534
#define OTHER 12345

static char root[64];

static const char *in_root(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static void write_elf(const char *name, uid_t owner, mode_t mode)
{
	_cleanup_close_ int fd = open(in_root(name), O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_int_equal(write(fd, "\177ELF and so on", 14), 14);
	assert_int_equal(fchown(fd, owner, owner), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

static int set_up(void **state)
{
	umask(0);
	strcpy(root, "/tmp/test_debugfiles.XXXXXX");
	if (!mkdtemp(root) || chmod(root, 0755))
		return -1;
	mkdir(in_root("open"), 0755);
	mkdir(in_root("closed"), 0700);
	mkdir(in_root("groups"), 0750);
	mkdir(in_root("own"), 0700);
	return chown(in_root("own"), NOBODY, NOBODY);
}

static int tear_down(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

/* Below the root and as a path of the host; the file must be had both ways or none. */
static bool is_granted(const char *name, uid_t uid)
{
	struct debugfiles files = { .uid = uid, .object_path = "/object" };
	struct wish wish = { .kind = WISH_ALTLINK, .name = name };
	_cleanup_close_ int below = -1, host = -1, root_fd = open(root, O_PATH | O_DIRECTORY);

	files.root_fd = root_fd;
	below = debugfiles_grant(&files, &wish);
	files.root_fd = -1;
	wish.name = in_root(name + 1);
	host = debugfiles_grant(&files, &wish);
	assert_int_equal(below >= 0, host >= 0);
	return below >= 0;
}

/* Is anything opened that lies in the root's folder? */
static bool is_opened(const char *name, uid_t uid, bool *ret_is_granted)
{
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char events[4096];

	assert_true(inotify_add_watch(fd, in_root(name + 1), IN_OPEN) >= 0);
	*ret_is_granted = is_granted(name, uid);
	return read(fd, events, sizeof(events)) > 0;
}

static void test_regular_files_are_granted(void **state)
{
	bool is_had;

	write_elf("open/file", 0, 0644);
	assert_true(is_opened("/open/file", NOBODY, &is_had));
	assert_true(is_had);
	write_elf("own/file", NOBODY, 0400);
	assert_true(is_granted("/own/file", NOBODY));
	assert_true(is_granted("/own/file", 0));
}

static void test_what_the_owner_could_not_read_is_not(void **state)
{
	write_elf("open/secret", 0, 0600);
	write_elf("open/of_a_group", 0, 0640);
	write_elf("closed/file", 0, 0644);
	write_elf("groups/file", 0, 0644);
	assert_false(is_granted("/open/secret", NOBODY));
	assert_false(is_granted("/open/of_a_group", NOBODY)); /* of ours */
	assert_false(is_granted("/closed/file", NOBODY));
	assert_false(is_granted("/groups/file", NOBODY));
	assert_false(is_granted("/own/file", OTHER));
	assert_true(is_granted("/closed/file", 0));
}

static void test_a_device_is_not_opened(void **state)
{
	bool is_had;

	if (mknod(in_root("null"), S_IFCHR | 0666, makedev(1, 3))) {
		print_message("no device can be made here: %s\n", strerror(errno));
		assert_int_equal(errno, EPERM);
		return;
	}
	assert_false(is_opened("/null", 0, &is_had));
	assert_false(is_had);
	assert_false(is_opened("/null", NOBODY, &is_had));
	assert_false(is_had);
}

static void test_a_fifo_and_a_socket_are_not_opened(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool is_had;

	assert_int_equal(mkfifo(in_root("fifo"), 0666), 0);
	assert_false(is_opened("/fifo", 0, &is_had));
	assert_false(is_had);
	strcpy(address.sun_path, in_root("socket"));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_false(is_opened("/socket", 0, &is_had));
	assert_false(is_had);
}

/* /proc/kcore is an ELF file: the kernel's memory. */
static void test_the_kernels_own_files_are_not_granted(void **state)
{
	struct debugfiles files = { .root_fd = -1, .object_path = "/object" };
	const char *const names[] = { "/proc/kcore", "/proc/self/mem", "/sys/kernel/notes",
				      "/dev/ptmx" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct wish wish = { .kind = WISH_ALTLINK, .name = names[i] };

		assert_int_equal(debugfiles_grant(&files, &wish), -1);
	}
}

static void test_we_are_ourselves_again(void **state)
{
	gid_t before[256], after[256];
	int count = getgroups(ARRAY_SIZE(before), before);

	write_elf("open/other", OTHER, 0600);
	assert_true(is_granted("/open/other", OTHER));
	assert_false(is_granted("/open/other", NOBODY));
	assert_int_equal(setfsuid(-1), 0);
	assert_int_equal(setfsgid(-1), getegid());
	assert_int_equal(getgroups(ARRAY_SIZE(after), after), count);
	assert_memory_equal(before, after, count * sizeof(*before));
	assert_int_equal(access(in_root("open/secret"), R_OK), 0);
}

/* The way that is taken where map_files cannot be read: by path. */
static void test_a_mapped_path_that_is_a_fifo_now(void **state)
{
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct stat st;
	char events[4096];

	assert_int_equal(stat(in_root("fifo"), &st), 0);
	assert_true(inotify_add_watch(fd, in_root("fifo"), IN_OPEN) >= 0);
	assert_int_equal(mapfile_open(getpid(), 1, 2, in_root("fifo"), st.st_ino), -1);
	assert_true(read(fd, events, sizeof(events)) < 0);
	assert_int_equal(errno, EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_regular_files_are_granted),
		cmocka_unit_test(test_what_the_owner_could_not_read_is_not),
		cmocka_unit_test(test_a_device_is_not_opened),
		cmocka_unit_test(test_a_fifo_and_a_socket_are_not_opened),
		cmocka_unit_test(test_the_kernels_own_files_are_not_granted),
		cmocka_unit_test(test_we_are_ourselves_again),
		cmocka_unit_test(test_a_mapped_path_that_is_a_fifo_now),
	};

	if (geteuid() != 0) {
		print_message("SKIP: to be somebody else needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
