/* Names of the files of --output, and what becomes of a profile whose place has no room. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/keep.h"
#include "daemon/serve/taken.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "tests/unit/folder.h"
#include "tests/unit/sample.h"

#define PID 1234

/* ---- stand-ins ------------------------------------------------------------------------------- */

pid_t target_pid(const struct target *target)
{
	return PID;
}

int taken_snapshot(struct target *target, struct symbolizer *symbolizer,
		   const struct taken_options *options, struct dhat_snapshot **ret,
		   struct dhat_error *err)
{
	*ret = sample_snapshot();
	return 0;
}

/* ---- */

static const struct dhat_exporter *all[32]; /* there are, DHAT JSON first */
static size_t count;

static int list_exporters(void **state)
{
	_cleanup_free_ char *names = dhat_exporter_names();
	char *rest = NULL;

	for (char *name = strtok_r(names, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest))
		all[count++] = dhat_exporter_of_name(name);
	return count > 5 ? 0 : -1;
}

static struct keep_place settled(const char *path)
{
	struct keep_place place = { 0 };
	struct dhat_error err = { 0 };

	if (keep_settle(&place, path, &err))
		fail_msg("%s: %s", path, err.message);
	return place;
}

static void assert_named(const struct keep_place *place, unsigned number, const char *stem,
			 const char *rest)
{
	char name[PATH_MAX], expected[PATH_MAX];

	keep_name(name, sizeof(name), place, PID, number);
	snprintf(expected, sizeof(expected), "%s/%s%s", folder, stem, rest);
	assert_string_equal(name, expected);
}

/* What a name was taken for at the start it is taken for with a number in it. */
static void test_each_of_several_is_of_the_same_format(void **state)
{
	for (size_t i = 0; i <= count; i++) { /* the last: no suffix at all */
		const char *suffix = i < count ? all[i]->suffix : "";
		const struct dhat_exporter *exporter = i < count ? all[i] : all[0];
		char path[128];
		struct keep_place place;

		snprintf(path, sizeof(path), "%s/my.leak%s", folder, suffix);
		if (!*suffix)
			snprintf(path, sizeof(path), "%s/leak", folder);
		place = settled(path);
		assert_ptr_equal(place.exporter, exporter);
		assert_named(&place, 0, *suffix ? "my.leak" : "leak", suffix);
		assert_named(&place, 1, *suffix ? "my.leak.1234" : "leak.1234", suffix);
		assert_named(&place, 2, *suffix ? "my.leak.1234-2" : "leak.1234-2", suffix);
	}
}

static void test_what_is_no_file_keeps_its_name(void **state)
{
	static const char *const paths[] = { "-", "/dev/null" };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct keep_place place = settled(paths[i]);
		char name[64];

		keep_name(name, sizeof(name), &place, PID, 1);
		assert_string_equal(name, paths[i]);
	}
}

/* One that could be written alone, and not as one of several, is known at the start. */
static void test_a_name_that_would_become_too_long(void **state)
{
	struct keep_place place;
	struct dhat_error err = { 0 };
	char path[PATH_MAX];
	int length = snprintf(path, sizeof(path), "%s/", folder);

	memset(path + length, 'x', 245);
	strcpy(path + length + 245, ".json");
	assert_true(keep_settle(&place, path, &err) < 0);
	assert_int_equal(err.code, DHAT_EXIT_OUTPUT);
	assert_non_null(strstr(err.message, "too long"));
	strcpy(path + length + 200, ".json");
	assert_int_equal(keep_settle(&place, path, &err), 0);
}

static char *contents(const char *path, size_t *ret_size)
{
	FILE *file = fopen(path, "r");
	char *bytes = malloc(1 << 20);

	assert_non_null(file);
	*ret_size = fread(bytes, 1, 1 << 20, file);
	fclose(file);
	return bytes;
}

/* Its place has gone since: in each format it is somewhere else, in that format, and under a name
 * of its own; which is in `elsewhere`. */
static void assert_is_kept_elsewhere(const char *named, const struct dhat_exporter *exporter,
				     char elsewhere[PATH_MAX])
{
	const struct keep_place place = { named, exporter };
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_error err = { 0 };
	char path[PATH_MAX], expected[PATH_MAX];
	_cleanup_free_ char *kept = NULL, *saved = NULL;
	size_t kept_size, saved_size;
	bool is_kept = false;

	snprintf(path, sizeof(path), "%s/gone/%s", folder, named);
	snprintf(expected, sizeof(expected), "%s/expected", folder);
	assert_true(keep_profile(NULL, NULL, NULL, &place, path, &is_kept, &err) < 0);
	assert_int_equal(err.code, DHAT_EXIT_OUTPUT);
	assert_true(is_kept);
	assert_int_equal(sscanf(strstr(err.message, "is in ") ?: "", "is in %4000s", elsewhere), 1);
	assert_int_equal(strncmp(elsewhere, folder, strlen(folder)), 0);
	assert_int_equal(dhat_save(snapshot, expected, exporter, NULL, NULL), 0);
	kept = contents(elsewhere, &kept_size);
	saved = contents(expected, &saved_size);
	assert_int_equal(kept_size, saved_size);
	assert_memory_equal(kept, saved, saved_size);
	assert_string_equal(elsewhere + strlen(elsewhere) - strlen(exporter->suffix),
			    exporter->suffix);
	dhat_snapshot_free(snapshot);
}

static void test_what_cannot_be_written_there_is_written_elsewhere(void **state)
{
	char name[64], first[PATH_MAX], second[PATH_MAX];

	setenv("TMPDIR", folder, 1);
	for (size_t i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "leak%s", all[i]->suffix);
		assert_is_kept_elsewhere(name, all[i], first);
		assert_is_kept_elsewhere("leak", all[i], second);
		/* of one process, in one second: neither takes the other's place */
		assert_string_not_equal(first, second);
		assert_int_equal(access(first, F_OK), 0);
	}
	unsetenv("TMPDIR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
		T(test_each_of_several_is_of_the_same_format),
		T(test_what_is_no_file_keeps_its_name),
		T(test_a_name_that_would_become_too_long),
		T(test_what_cannot_be_written_there_is_written_elsewhere),
	};

	return cmocka_run_group_tests(tests, list_exporters, NULL);
}
