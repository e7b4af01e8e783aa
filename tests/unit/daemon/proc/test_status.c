/* status: texts, and this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "daemon/proc/status.h"

static void test_status(void **state)
{
	struct proc_status s;

	proc_status_parse("Name:\tPid:\nState:\tt (tracing stop)\nTgid:\t12\nPid:\t13\n"
			  "TracerPid:\t99\nThreads:\t5\nUid:\t1000\t0\t1\t2\nNSpid:"
			  "\t13\t7\t2\nCapEff:\t000001ffffffffff\n"
			  "Seccomp:\t2\nSeccomp_filters:\t3\nVmRSS:\t 200 kB\nRssAnon:\t     132 "
			  "kB\nRssShmem:\t 20 kB\nHugetlbPages:\t 2048 kB\nVmSwap:\t9 kB\nVmExe:\t "
			  "4 kB\nVmLib:\t  1500 kB\nSigCgt:\t10\n",
			  &s);
	assert_true(s.state == 't' && s.tgid == 12 && s.pid == 13 && s.tracer_pid == 99);
	assert_true(s.ns_depth == 3 && s.ns_pids[0] == 13 && s.ns_pids[2] == 2);
	assert_true(s.uid == 1000 && s.anonymous_bytes == 132 << 10 && s.caught_signals == 16);
	assert_true(s.rss_bytes == 200 << 10 && s.swap_bytes == 9 << 10);
	assert_true(s.executable_bytes == 1504 << 10 && s.shared_bytes == 2068 << 10);
	assert_true(s.effective_caps == 0x1ffffffffffull);
	assert_true(s.seccomp_mode == 2 && s.seccomp_filters == 3 && s.thread_count == 5);
	proc_status_parse("", &s);
	assert_true(s.rss_bytes == 0 && s.swap_bytes == 0);
	assert_true(s.state == 0 && s.tgid == 0 && s.ns_depth == 0 && s.seccomp_mode == 0);
	proc_status_parse("NSpid:\t1 2 3 4 5 6 7 8 9 10\n", &s);
	assert_true(s.ns_depth == PROC_NS_PIDS_MAX && s.ns_pids[7] == 8);
	proc_status_parse("Seccomp:\nNSpid:", &s);
	assert_true(s.seccomp_mode == 0 && s.ns_depth == 0);
}

static void test_stat(void **state)
{
	struct proc_stat s;

	/* a name may hold what ends one */
	assert_int_equal(proc_stat_parse("7 (a) S 1 (b) R 1 2 3 4 5 2097152 6 7 8 9 10 11 12 13 14 "
					 "15 16 17 987654321 0\n",
					 &s),
			 0);
	assert_true(s.state == 'R' && s.flags == 2097152 && s.start_ticks == 987654321);
	assert_int_equal(proc_stat_parse("", &s), -EBADMSG);
	assert_int_equal(proc_stat_parse("7 (a) ", &s), -EBADMSG);
}

static void test_statm(void **state)
{
	uint64_t pages;

	assert_int_equal(proc_statm_parse("9000 1234 500 10 0 700 0\n", &pages), 0);
	assert_int_equal(pages, 1234);
	assert_int_equal(proc_statm_parse("", &pages), -EBADMSG);
	assert_int_equal(proc_statm_parse("9000", &pages), -EBADMSG);
}

static void test_myself(void **state)
{
	struct proc_status s;
	uint64_t resident;

	assert_int_equal(proc_resident_bytes(getpid(), &resident), 0);
	assert_in_range(resident, 64 << 10, 1 << 30);
	assert_int_equal(proc_resident_bytes(0, &resident), -ESRCH);
	assert_int_equal(proc_status_read(getpid(), &s), 0);
	assert_true(s.tgid == getpid() && s.pid == getpid() && s.uid == getuid());
	assert_true(s.anonymous_bytes > 0 && s.rss_bytes > s.anonymous_bytes && s.ns_depth >= 1);
	assert_int_equal(proc_status_read_main(0, &s), -ESRCH);
	assert_true(proc_start_ticks(getpid()) >= proc_start_ticks(getppid()));
	assert_true(proc_start_ticks(getpid()) > 0);
	assert_int_equal(proc_start_ticks(0), 0);
	assert_false(proc_is_kernel_thread(getpid()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_stat),
		cmocka_unit_test(test_statm),
		cmocka_unit_test(test_myself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
