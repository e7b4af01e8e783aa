/* cgroup_memory: hierarchies of both versions, made of files. */
#include <errno.h>
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

#include "daemon/proc/cgroup_memory.h"
#include "tests/unit/folder.h"

/* Folders are made on the way. */
static void write_file(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static const char pressure[] = "some avg10=12.34 avg60=1.00 avg300=0.00 total=114517\n"
			       "full avg10=99.00 avg60=0.00 avg300=0.00 total=13350\n";

static void test_version_2(void **state)
{
	struct cgroup_view view = { .top = folder, .outer_top = "/no/such" };
	struct cgroup_memory memory;

	write_file("system.slice/x.service/memory.events",
		   "low 1\nhigh 22\nmax 333\noom 4\noom_kill 5\n");
	write_file("system.slice/x.service/memory.pressure", pressure);
	cgroup_memory_read("0::/system.slice/x.service\n", &view, &memory);
	assert_true(memory.has_high && memory.has_max && memory.has_pressure);
	assert_int_equal(memory.high, 22);
	assert_int_equal(memory.max, 333);
	assert_int_equal(memory.pressure, 1234);
	/* there are none of the root's */
	cgroup_memory_read("0::/\n", &view, &memory);
	assert_false(memory.has_high || memory.has_max || memory.has_pressure);
}

static void test_version_1(void **state)
{
	struct cgroup_view view = { .top = folder, .outer_top = "/no/such" };
	struct cgroup_memory memory;

	write_file("memory/jobs/a:b/memory.failcnt", "17\n");
	cgroup_memory_read("9:name=systemd:/jobs/x\n4:cpu,memory:/jobs/a:b\n0::/\n", &view,
			   &memory);
	assert_false(memory.has_high || memory.has_pressure);
	assert_true(memory.has_max);
	assert_int_equal(memory.max, 17);
	/* "hybrid" */
	write_file("unified/jobs/memory.pressure", pressure);
	cgroup_memory_read("4:memory:/jobs/a:b\n0::/jobs\n", &view, &memory);
	assert_true(memory.has_max && memory.has_pressure);
	assert_int_equal(memory.pressure, 1234);
}

/* Ours is outer/memory/pods/a/own; the group's files say which they are. */
static void make_namespace(char *top, char *outer_top, size_t size)
{
	char path[160], target[160];

	snprintf(top, size, "%s/top", folder);
	snprintf(outer_top, size, "%s/outer", folder);
	write_file("outer/memory/memory.failcnt", "1\n");
	write_file("outer/memory/pods/memory.failcnt", "2\n");
	write_file("outer/memory/pods/a/own/below/memory.failcnt", "3\n");
	write_file("outer/memory/pods/b/x/memory.failcnt", "4\n");
	write_file("memory/pods/b/x/memory.failcnt", "5\n"); /* beside the mount: no group */
	write_file("top/cpu/nothing", "");
	snprintf(path, sizeof(path), "%s/top/memory", folder);
	snprintf(target, sizeof(target), "%s/outer/memory/pods/a/own", folder);
	assert_int_equal(symlink(target, path), 0); /* as a mount of it */
}

/* Of processes outside of our control group namespace. */
static void test_beside_us(void **state)
{
	static const struct {
		const char *groups;
		bool is_out_of_sight;
		uint64_t max; /* 0: is not there */
	} cases[] = {
		{ "4:memory:/../../b/x\n", false, 4 },
		{ "4:memory:/../..\n", false, 2 },
		{ "4:memory:/../../..\n", false, 1 },
		{ "4:memory:/../../../..\n", true, 0 }, /* there is no more above it */
		{ "4:memory:/../../c\n", false, 0 },
		{ "4:memory:/below\n", false, 3 },
		{ "0::/../../b/x\n", true, 0 }, /* the mounts of that are not there */
		{ "4:memory:/../../b/x\n0::/../../b/x\n", false, 4 },
	};
	char top[96], outer_top[96];
	struct cgroup_view view = { .top = top, .outer_top = outer_top };
	struct cgroup_memory memory;

	make_namespace(top, outer_top, sizeof(top));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cgroup_memory_read(cases[i].groups, &view, &memory);
		assert_int_equal(memory.is_out_of_sight, cases[i].is_out_of_sight);
		assert_int_equal(memory.has_max ? memory.max : 0, cases[i].max);
	}
}

/* Nothing outside is seen; a name may begin so. */
static void test_out_of_sight(void **state)
{
	char top[96];
	struct cgroup_view view = { .top = top, .outer_top = top };
	struct cgroup_memory memory;

	snprintf(top, sizeof(top), "%s/top", folder);
	write_file("top/memory/own/memory.failcnt", "1\n");
	write_file("memory/other/memory.failcnt", "17\n");
	write_file("top/..other/memory.events", "high 22\nmax 333\n");
	cgroup_memory_read("4:memory:/../../memory/other\n", &view, &memory);
	assert_true(memory.is_out_of_sight);
	assert_false(memory.has_max);
	cgroup_memory_read("0::/..\n", &view, &memory);
	assert_true(memory.is_out_of_sight);
	cgroup_memory_read("0::/..other\n", &view, &memory);
	assert_false(memory.is_out_of_sight);
	assert_int_equal(memory.high, 22);
}

static void test_nonsense(void **state)
{
	static const char *const texts[] = { "",    "\n", "0",	      "0:",
					     "0::", "::", "4:memory", "x\n0::/gone\n" };
	struct cgroup_view view = { .top = folder, .outer_top = "/no/such" };
	struct cgroup_memory memory;
	uint64_t value = 7;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		cgroup_memory_read(texts[i], &view, &memory);
		assert_false(memory.has_high || memory.has_max || memory.has_pressure);
	}
	assert_int_equal(pressure_parse("full avg10=1.00", &value), -EBADMSG);
	assert_int_equal(pressure_parse("some avg10=x", &value), -EBADMSG);
	assert_int_equal(value, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_version_2, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_version_1, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_beside_us, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_out_of_sight, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_nonsense, make_folder, remove_folder),
	};

	return cmocka_run_group_tests_name("cgroup_memory", tests, NULL, NULL);
}
