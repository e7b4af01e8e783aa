/* runtime: Pythons that are started with every kind of command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/object/elf/object_desc.h"
#include "daemon/target/runtime.h"
#include "proto/base/cleanup.h"

#define CPYTHON (1u << OBJECT_MAKER_CPYTHON)
#define PHP (1u << OBJECT_MAKER_PHP)
#define JEMALLOC (1u << OBJECT_MAKER_JEMALLOC)
#define SLEEP "import time; print(1, flush=True); time.sleep(100)"
#define MAX_ARGUMENTS 8

/* It has begun when it says so. */
static pid_t start(char *const *arguments, char *setting)
{
	char *environment[] = { setting, NULL }, said;
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execve(arguments[0], arguments, environment);
		_exit(127);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &said, 1), 1);
	close(ends[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_pythons(void **state)
{
	static const struct {
		char *setting;
		char *arguments[MAX_ARGUMENTS];
		bool is_uncounted;
	} cases[] = {
		{ "X=1", { "/usr/bin/python3", "-c", SLEEP }, true },
		{ "PYTHONMALLOC=pymalloc", { "/usr/bin/python3", "-c", SLEEP }, true },
		{ "PYTHONMALLOC=malloc", { "/usr/bin/python3", "-c", SLEEP }, false },
		{ "PYTHONMALLOC=malloc_debug", { "/usr/bin/python3", "-S", "-c", SLEEP }, false },
		{ "PYTHONMALLOC=malloc", { "/usr/bin/python3", "-I", "-c", SLEEP }, true },
		{ "PYTHONMALLOC=malloc", { "/usr/bin/python3", "-sSEc", SLEEP }, true },
		/* values of options are no options */
		{ "PYTHONMALLOC=malloc",
		  { "/usr/bin/python3", "-Wignore::I", "-c", SLEEP },
		  false },
		{ "PYTHONMALLOC=malloc", { "/usr/bin/python3", "-X", "-E", "-c", SLEEP }, false },
		{ "PYTHONMALLOC=malloc",
		  { "/usr/bin/python3", "--check-hash-based-pycs", "always", "-Ic", SLEEP },
		  true },
		/* nor are what the script is given */
		{ "PYTHONMALLOC=malloc", { "/usr/bin/python3", "-c", SLEEP, "-I" }, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		pid_t pid = start(cases[i].arguments, cases[i].setting);

		if (runtime_uncounted(pid, CPYTHON, false) != (cases[i].is_uncounted ? CPYTHON : 0))
			fail_msg("case %zu: %s %s", i, cases[i].setting, cases[i].arguments[1]);
		/* nobody else is asked for Python's settings */
		assert_int_equal(runtime_uncounted(pid, PHP | JEMALLOC, false), PHP | JEMALLOC);
		end(pid);
	}
}

/* A program that is no python has to be believed to have been told nothing. */
static void test_others(void **state)
{
	char *arguments[] = { "/bin/sh", "-c", "echo 1; exec sleep 100", NULL };
	pid_t python_in_it = start(arguments, "PYTHONMALLOC=malloc");
	pid_t php = start(arguments, "USE_ZEND_ALLOC=0");

	assert_int_equal(runtime_uncounted(python_in_it, CPYTHON, false), CPYTHON);
	assert_int_equal(runtime_uncounted(php, PHP, false), 0);
	/* an allocator is in use or not, whatever is recorded besides */
	assert_int_equal(runtime_uncounted(python_in_it, CPYTHON | JEMALLOC, true), JEMALLOC);
	end(python_in_it);
	end(php);
	/* gone: in doubt it is not counted */
	assert_int_equal(runtime_uncounted(php, PHP, false), PHP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pythons),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
