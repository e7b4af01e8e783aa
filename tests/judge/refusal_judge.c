/* refusal_judge: a program that the kernel's own verifier refuses, and one that it is not given;
 * root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "daemon/kernel/refusal.h"
#include "proto/base/cleanup.h"

#include "bpf/selftest.skel.h"

static struct selftest_bpf *open_broken(void)
{
	struct selftest_bpf *bpf = selftest_bpf__open();
	struct bpf_insn insns[64];
	size_t count;

	assert_non_null(bpf);
	count = bpf_program__insn_cnt(bpf->progs.selftest_entry);
	assert_in_range(count, 2, ARRAY_SIZE(insns));
	memcpy(insns, bpf_program__insns(bpf->progs.selftest_entry), count * sizeof(*insns));
	/* r0 = r9, which nobody has set; exit */
	insns[count - 2] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X, .src_reg = 9 };
	assert_int_equal(bpf_program__set_insns(bpf->progs.selftest_entry, insns, count), 0);
	return bpf;
}

/* The kernel is new enough, so it is not what is wrong. */
static void test_a_program_that_is_refused(void **state)
{
	struct selftest_bpf *bpf = open_broken();
	struct dhat_error err = { 0 };
	int r = selftest_bpf__load(bpf);

	assert_true(r < 0);
	assert_int_equal(refusal_explain(r, (const char *)bpf->rodata->compiled_by, &err), r);
	selftest_bpf__destroy(bpf);
	print_message("  %s\n", err.message);
	assert_int_equal(err.code, DHAT_EXIT_UNSUPPORTED);
	assert_non_null(strstr(err.message, "BPF program selftest_entry (R9 !read_ok)"));
	assert_non_null(strstr(err.message, "is new enough: clang "));
	assert_non_null(strstr(err.message, "DHATD_LIBBPF_LOG=1"));
	assert_null(strstr(err.message, "needs Linux"));
	assert_null(strchr(err.message, '\n'));
	assert_true(strlen(err.message) < sizeof(err.message) - 1);
}

/* What is remembered of one load is not told of the next. */
static void test_what_was_told_is_forgotten(void **state)
{
	struct selftest_bpf *bpf = open_broken();
	struct dhat_error first = { 0 }, second = { 0 }, third = { 0 };
	int r = selftest_bpf__load(bpf);

	selftest_bpf__destroy(bpf);
	refusal_explain(r, "clang 99", &first);
	refusal_explain(-EINVAL, "clang 99", &second);
	assert_non_null(strstr(first.message, "clang 99 has made"));
	assert_null(strstr(second.message, "selftest_entry"));
	assert_non_null(strstr(second.message, "CONFIG_DEBUG_INFO_BTF"));
	refusal_explain(-EPERM, "clang 99", &third);
	assert_int_equal(third.code, DHAT_EXIT_NOT_PERMITTED);
}

static void test_a_good_program_is_taken(void **state)
{
	struct selftest_bpf *bpf = selftest_bpf__open();

	assert_non_null(bpf);
	assert_int_equal(selftest_bpf__load(bpf), 0);
	selftest_bpf__destroy(bpf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_program_that_is_refused),
		cmocka_unit_test(test_what_was_told_is_forgotten),
		cmocka_unit_test(test_a_good_program_is_taken),
	};

	refusal_listen(false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
