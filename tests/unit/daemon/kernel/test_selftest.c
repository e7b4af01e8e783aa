/* selftest: what is concluded from a child that lives, dies or was never probed. The real probe is
 * tried by the end-to-end tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/kernel/selftest.h"

struct fake {
	int signal; /* sent to the child as by a probe; 0: none */
	int error;
	bool hit;
	pid_t pid;
};

static int attach(void *context, pid_t pid, uint64_t file_offset, struct dhat_error *err)
{
	struct fake *fake = context;

	fake->pid = pid;
	assert_true(file_offset > 0);
	if (fake->error)
		return dhat_error_errno(err, fake->error, "no probe");
	if (fake->signal)
		kill(pid, fake->signal);
	return 0;
}

static bool was_hit(void *context)
{
	return ((struct fake *)context)->hit;
}

static int run(struct fake *fake, enum selftest_result *ret, struct dhat_error *err)
{
	struct selftest_prober prober = { .attach = attach, .was_hit = was_hit, .context = fake };
	int r = selftest_run(&prober, ret, err);

	/* no child is left */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return r;
}

static void test_unharmed(void **state)
{
	struct fake fake = { .hit = true };
	enum selftest_result result = SELFTEST_KILLED;

	assert_int_equal(run(&fake, &result, NULL), 0);
	assert_int_equal(result, SELFTEST_UNHARMED);
}

static void test_killed(void **state)
{
	static const int signals[] = { SIGSYS, SIGSEGV, SIGTRAP };
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct fake fake = { .signal = signals[i] };
		enum selftest_result result = SELFTEST_UNHARMED;

		assert_int_equal(run(&fake, &result, NULL), 0);
		assert_int_equal(result, SELFTEST_KILLED);
	}
}

/* A probe that was never reached proves nothing. */
static void test_not_hit(void **state)
{
	struct fake fake = { .hit = false };
	enum selftest_result result = SELFTEST_KILLED;
	struct dhat_error err = { 0 };

	assert_true(run(&fake, &result, &err) < 0);
	assert_int_equal(result, SELFTEST_KILLED);
	assert_non_null(strstr(err.message, "not hit"));
}

static void test_no_probe(void **state)
{
	struct fake fake = { .error = EPERM };
	enum selftest_result result = SELFTEST_KILLED;
	struct dhat_error err = { 0 };

	assert_int_equal(run(&fake, &result, &err), -EPERM);
	assert_non_null(strstr(err.message, "no probe"));
}

/* Ended by something else: no conclusion. */
static void test_ended_otherwise(void **state)
{
	struct fake fake = { .signal = SIGKILL };
	enum selftest_result result = SELFTEST_KILLED;
	struct dhat_error err = { 0 };

	assert_true(run(&fake, &result, &err) < 0);
	assert_non_null(strstr(err.message, "no end"));
}

/* A link sees all threads when the call of one that is not the first is seen. */
static void test_threads(void **state)
{
	struct fake fake = { .hit = true };
	struct selftest_prober prober = { .attach = attach, .was_hit = was_hit, .context = &fake };
	struct dhat_error err = { 0 };
	bool sees_all = false;

	assert_int_equal(selftest_run_threads(&prober, &sees_all, NULL), 0);
	assert_true(sees_all);
	assert_int_equal(fake.pid, getpid()); /* on this process */
	fake.hit = false;
	assert_int_equal(selftest_run_threads(&prober, &sees_all, NULL), 0);
	assert_false(sees_all);
	fake.error = EPERM;
	assert_int_equal(selftest_run_threads(&prober, &sees_all, &err), -EPERM);
	assert_non_null(strstr(err.message, "no probe"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unharmed),	cmocka_unit_test(test_killed),
		cmocka_unit_test(test_not_hit),		cmocka_unit_test(test_no_probe),
		cmocka_unit_test(test_ended_otherwise), cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("selftest", tests, NULL, NULL);
}
