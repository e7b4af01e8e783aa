/* result_sites: hand-made functions, one trap each, and malloc and calloc of the libc that is
 * installed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/machine.h"
#include "daemon/object/machine/result_sites.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12 };

/* Functions are read where this program has them. NAME_at is a place within. */
#define FUNCTION(name, text)                                                                       \
	__asm__(".text\n.balign 16\n.globl " #name "\n.type " #name ",@function\n" #name           \
		":\n" text "\n.size " #name ",.-" #name "\n");                                     \
	extern const uint8_t name[]
#define PLACE(name) extern const uint8_t name[]
#define AT(name) "\n.globl " #name "\n" #name ":\n"

PLACE(fast_at);
FUNCTION(fast,
	 "push %rbp\n push %rbx\n mov %rdi,%rbx\n mov free_list(%rip),%rax\n test $15,%al\n" AT(
		 fast_at) "jne bad\n mov (%rax),%rdx\n mov %rdx,free_list(%rip)\n"
			  " pop %rbx\n pop %rbp\n ret\n bad: ud2\n");

/* the size is gone on the way behind the call */
PLACE(slow_call);
PLACE(slow_at);
PLACE(slow_fast_at);
FUNCTION(
	slow,
	"push %rbx\n mov %rdi,%rbx\n mov free_list(%rip),%rax\n test %rax,%rax\n" AT(
		slow_fast_at) "je 1f\n nop\n pop %rbx\n ret\n"
			      "1: mov %rbx,%rdi\n xor %ebx,%ebx\n" AT(
				      slow_call) "call helper\n test %rax,%rax\n" AT(slow_at) "je "
											      "2f\n"
											      " pop"
											      " %"
											      "rbx"
											      "\n "
											      "ret"
											      "\n"
											      "2: "
											      "xor "
											      "%eax"
											      ",%"
											      "eax"
											      "\n "
											      "pop "
											      "%rbx"
											      "\n "
											      "ret"
											      "\n");

/* what is tested is not what is returned: 0 may come with a block in the register. On one way out
 * of the jump it is known */
PLACE(lies_at);
FUNCTION(lies, "push %rbx\n mov %rdi,%rbx\n mov free_list(%rip),%rax\n test %rbx,%rbx\n" AT(
		       lies_at) "je 1f\n pop %rbx\n ret\n 1: xor %eax,%eax\n pop %rbx\n ret\n");
/* … and behind none */
FUNCTION(lies_later,
	 "push %rbx\n mov %rdi,%rbx\n mov free_list(%rip),%rax\n test %rbx,%rbx\n cmove %rbx,%rax\n"
	 " pop %rbx\n ret\n");

/* mimalloc: the slow way is another function's, which others call, too */
PLACE(short_at);
PLACE(short_jump);
FUNCTION(short_way, "mov free_list(%rip),%rdx\n test %rdx,%rdx\n" AT(
			    short_at) "je 1f\n mov (%rdx),%rcx\n mov %rdx,%rax\n ret\n 1: xor "
				      "%ecx,%ecx\n" AT(short_jump) "jmp long_way\n");
FUNCTION(long_way, "push %rbx\n mov %rdi,%rbx\n xor %edi,%edi\n call helper\n pop %rbx\n ret\n");
/* … at which the size is gone */
FUNCTION(short_lost, "mov free_list(%rip),%rdx\n test %rdx,%rdx\n je 1f\n mov %rdx,%rax\n ret\n"
		     " 1: shr $3,%rdi\n jmp long_way\n");
/* … the return address is not on top */
FUNCTION(short_deep,
	 "push %rbx\n mov free_list(%rip),%rdx\n test %rdx,%rdx\n je 1f\n mov %rdx,%rax\n"
	 " pop %rbx\n ret\n 1: call helper\n pop %rbx\n ret\n");
/* … a call was made before */
FUNCTION(short_called, "push %rbx\n mov %rdi,%rbx\n call helper\n mov %rbx,%rdi\n pop %rbx\n"
		       " mov free_list(%rip),%rdx\n test %rdx,%rdx\n je 1f\n mov %rdx,%rax\n ret\n"
		       " 1: jmp long_way\n");
/* … it comes back to the short one, now and then */
FUNCTION(short_again, "2: mov free_list(%rip),%rdx\n test %rdx,%rdx\n je 1f\n mov %rdx,%rax\n ret\n"
		      " 1: nop\n push %rdi\n call helper\n pop %rdi\n test %rax,%rax\n je 2b\n"
		      " mov (%rax),%rax\n ret\n");
/* … what is called behind the place is probed by itself */
FUNCTION(short_nested,
	 "push %rbx\n mov free_list(%rip),%rbx\n test %rbx,%rbx\n je 1f\n call by_itself\n"
	 " mov %rbx,%rax\n pop %rbx\n ret\n 1: pop %rbx\n jmp long_way\n");
/* both ways out of one jump are known, and differ */
FUNCTION(two_blocks,
	 "mov free_list(%rip),%rdx\n mov 8+free_list(%rip),%rcx\n test $1,%dil\n je 1f\n"
	 " mov %rdx,%rax\n ret\n 1: mov %rcx,%rax\n ret\n");

/* a way back over the place, and one way out of it */
PLACE(loops_at);
FUNCTION(loops, "mov free_list(%rip),%rax\n 1: test %rdi,%rdi\n" AT(loops_at) "jne 1b\n ret\n");

/* the result moves once more behind the place */
PLACE(moved_at);
FUNCTION(moved, "mov free_list(%rip),%rdx\n test $7,%dl\n" AT(
			moved_at) "jne 1f\n mov %rdx,%rax\n ret\n 1: hlt\n");

/* one return for both */
PLACE(shared_at);
FUNCTION(shared, "mov free_list(%rip),%rax\n test %rax,%rax\n" AT(
			 shared_at) "je 1f\n mov (%rax),%rdx\n 1: ret\n");

/* the caller's frame pointer is saved, and rbp is used for something else */
PLACE(saved_at);
FUNCTION(saved,
	 "push %r12\n push %rbp\n sub $24,%rsp\n xor %ebp,%ebp\n mov free_list(%rip),%rax\n test "
	 "$15,%al\n" AT(saved_at) "jne 1f\n add $24,%rsp\n pop %rbp\n pop %r12\n ret\n 1: ud2\n");

/* the product of both arguments */
PLACE(product_at);
FUNCTION(product,
	 "mov %rdi,%rax\n mul %rsi\n mov %rax,%r8\n mov free_list(%rip),%rax\n test $15,%al\n" AT(
		 product_at) "jne 1f\n ret\n 1: ud2\n");

/* the size is the second argument: aligned_alloc */
PLACE(aligned_at);
FUNCTION(aligned,
	 "push %rbx\n mov %rsi,%rbx\n mov %rdi,%rsi\n mov free_list(%rip),%rax\n test $15,%al\n" AT(
		 aligned_at) "jne 1f\n pop %rbx\n ret\n 1: ud2\n");

/* a jump through a register */
FUNCTION(indirect, "mov free_list(%rip),%rax\n test %rax,%rax\n je 1f\n ret\n 1: jmp *%rdi\n");

/* calls what is probed by itself */
FUNCTION(nested, "push %rbx\n call by_itself\n test %rax,%rax\n je 1f\n nop\n 1: pop %rbx\n ret\n");
/* … goes on in it */
PLACE(leaves_at);
FUNCTION(leaves,
	 "mov free_list(%rip),%rax\n test %rax,%rax\n" AT(
		 leaves_at) "jne 1f\n jmp by_itself\n 1: test $1,%al\n je 2f\n ret\n 2: ret\n");
FUNCTION(by_itself, "ret\n");
FUNCTION(helper, "ret\n");

/* does not come back when called with 1: what lies behind the call is other code */
FUNCTION(message, "and $1,%edi\n mov %edi,%r8d\n test %r8d,%r8d\n jne 1f\n ret\n 1: hlt\n");
PLACE(proven_at);
FUNCTION(proven, "mov free_list(%rip),%rax\n test $15,%al\n" AT(
			 proven_at) "jne 1f\n ret\n 1: mov $1,%edi\n call message\n nopl 0(%rax)\n"
				    " xor %eax,%eax\n ret\n");
/* … and does with 2 */
FUNCTION(unproven,
	 "mov free_list(%rip),%rax\n test $15,%al\n jne 1f\n ret\n 1: mov $2,%edi\n call message\n"
	 " mov free_list(%rip),%rax\n ret\n");

/* where the kernel emulates nothing in time */
PLACE(ours_at);
FUNCTION(ours, "mov free_list(%rip),%rax\n" AT(ours_at) "mov %rdi,%rcx\n shr $3,%rdi\n ret\n");
/* … but a move of the stack pointer: somebody's return probe may be there */
FUNCTION(stack_moves, "sub $8,%rsp\n mov free_list(%rip),%rax\n add $8,%rsp\n shr $3,%rdi\n ret\n");
/* … but what another tracer's program, which may come later, reads there, too */
FUNCTION(size_moves, "mov free_list(%rip),%rax\n lea 1(%rdi),%rdi\n shr $3,%rdi\n ret\n");
FUNCTION(frame_moves, "push %rbp\n mov free_list(%rip),%rax\n mov %rsi,%rbp\n shr $3,%rdi\n"
		      " pop %rbp\n ret\n");
/* … but a load that may be torn */
FUNCTION(torn, "mov free_list(%rip),%rax\n mov (%rsi),%rcx\n shr $3,%rdi\n ret\n");
/* … but the way out, which is an exit of whoever shares it */
FUNCTION(at_ret, "mov free_list(%rip),%rax\n ret\n");

__asm__(".data\nfree_list: .quad 0\n.text\n");

static bool fetch(void *context, uint64_t vaddr, const uint8_t **ret_code, size_t *ret_size)
{
	*ret_code = (const uint8_t *)vaddr;
	*ret_size = 64;
	return true;
}

static bool may_execute;
static uint8_t size_argument;

static int find(const uint8_t *function, enum result_size kind, struct result_sites *ret, char *why)
{
	const uint64_t known[] = { (uint64_t)by_itself };
	const struct code_source source = {
		.fetch = fetch,
		.by_itself = known,
		.by_itself_count = 1,
	};

	const struct result_question question = {
		.vaddr = (uint64_t)function,
		.size = kind,
		.argument = size_argument,
		.with_entries = true,
		.may_execute = may_execute,
	};

	*why = 0;
	return result_sites_find(&source, &question, ret, why);
}

/* Somebody jumps to long_way, and to the instruction that `context` tells. */
static bool is_shared(void *context, const uint64_t *vaddrs, size_t count, uint64_t entry)
{
	for (size_t i = 0; i < count; i++)
		if (vaddrs[i] == (uint64_t)long_way || vaddrs[i] == (uint64_t)context)
			return true;
	return false;
}

static int find_shared(bool with_entries, const uint8_t *jumped_to, struct result_sites *ret)
{
	const struct code_source source = {
		.fetch = fetch,
		.is_shared = is_shared,
		.context = (void *)(uintptr_t)jumped_to,
	};
	const struct result_question question = {
		.vaddr = (uint64_t)short_way,
		.with_entries = with_entries,
	};
	char why[RESULT_WHY];

	return result_sites_find(&source, &question, ret, why);
}

/* There is one site of a kind at a place, and it says so. */
static struct result_site site_at(const struct result_sites *sites, const uint8_t *place,
				  enum result_kind kind)
{
	for (size_t i = 0; i < sites->count; i++)
		if (sites->list[i].vaddr == (uint64_t)place) {
			assert_int_equal(sites->list[i].kind, kind);
			assert_int_equal(sites->list[i].byte, *place);
			return sites->list[i];
		}
	fail_msg("there is none");
	return (struct result_site){ 0 };
}

static void expect_one(const uint8_t *function, enum result_size kind, const uint8_t *place,
		       uint8_t address_reg, uint8_t size_reg, uint8_t sp_words, uint8_t frame_words)
{
	struct result_sites sites = { 0 };
	struct result_site site;
	char why[RESULT_WHY];

	if (find(function, kind, &sites, why) < 0)
		fail_msg("%s", why);
	assert_int_equal(sites.count, 1);
	site = site_at(&sites, place, RESULT_HERE);
	assert_int_equal(site.address_reg, address_reg);
	assert_int_equal(site.size_reg, size_reg);
	assert_int_equal(site.sp_words, sp_words);
	assert_int_equal(site.frame_words, frame_words);
	assert_true(site.is_emulated);
	free(sites.list);
}

static void expect_none(const uint8_t *function, const char *because)
{
	struct result_sites sites = { 0 };
	char why[RESULT_WHY];

	if (find(function, RESULT_SIZE_ARGUMENT, &sites, why) != -ENOTSUP)
		fail_msg("%zu sites, the first: %s, condition %d", sites.count,
			 sites.list[0].instruction, sites.list[0].condition);
	if (!strstr(why, because))
		fail_msg("%s", why);
}

static void test_one(void **state)
{
	expect_one(fast, RESULT_SIZE_ARGUMENT, fast_at, RAX, RBX, 2, 0);
	expect_one(moved, RESULT_SIZE_ARGUMENT, moved_at, RDX, RDI, 0, 0);
	expect_one(shared, RESULT_SIZE_ARGUMENT, shared_at, RAX, RDI, 0, 0);
	expect_one(saved, RESULT_SIZE_ARGUMENT, saved_at, RAX, RDI, 5, 4);
	expect_one(product, RESULT_SIZE_PRODUCT, product_at, RAX, R8, 0, 0);
	expect_one(proven, RESULT_SIZE_ARGUMENT, proven_at, RAX, RDI, 0, 0);
}

static void test_second_argument(void **state)
{
	size_argument = 1;
	expect_one(aligned, RESULT_SIZE_ARGUMENT, aligned_at, RAX, RBX, 1, 0);
	size_argument = 0;
	expect_one(aligned, RESULT_SIZE_ARGUMENT, aligned_at, RAX, RSI, 1, 0);
}

static void test_size_is_lost(void **state)
{
	struct result_sites sites = { 0 };
	char why[RESULT_WHY];

	if (find(slow, RESULT_SIZE_ARGUMENT, &sites, why) < 0)
		fail_msg("%s", why);
	assert_int_equal(site_at(&sites, slow_call, RESULT_BEGIN).size_reg, RDI);
	assert_int_equal(site_at(&sites, slow_at, RESULT_HERE).size_reg, RESULT_SIZE_SAVED);
	free(sites.list);
}

static void test_none(void **state)
{
	expect_none(lies_later, "not known in time");
	expect_none(indirect, "not all of its code");
	expect_none(nested, "probed by itself");
	expect_none(unproven, "in time");
}

static void test_way_out(void **state)
{
	struct result_sites sites = { 0 };
	struct result_site site;
	char why[RESULT_WHY];

	if (find(lies, RESULT_SIZE_ARGUMENT, &sites, why) < 0)
		fail_msg("%s", why);
	assert_int_equal(sites.count, 1);
	site = site_at(&sites, lies_at, RESULT_HERE);
	assert_int_equal(site.condition, 5 + 1); /* jne */
	assert_int_equal(site.address_reg, RAX);
	assert_int_equal(site.size_reg, RBX);
	assert_int_equal(site.sp_words, 1);
	free(sites.list);
	if (find(loops, RESULT_SIZE_ARGUMENT, &sites, why) < 0)
		fail_msg("%s", why);
	assert_int_equal(sites.count, 1);
	site = site_at(&sites, loops_at, RESULT_HERE);
	assert_int_equal(site.condition, 4 + 1); /* je */
	free(sites.list);
	expect_none(two_blocks, "in time");
}

/* Programs of ours may execute instructions. */
static void test_ours(void **state)
{
	struct result_sites sites = { 0 };
	struct result_site site;
	char why[RESULT_WHY];

	expect_none(ours, "in time");
	may_execute = true;
	if (find(ours, RESULT_SIZE_ARGUMENT, &sites, why) < 0)
		fail_msg("%s", why);
	assert_int_equal(sites.count, 1);
	site = site_at(&sites, ours_at, RESULT_HERE);
	assert_false(site.is_emulated);
	assert_int_equal(site.by_us.operation, DHAT_OPERATION_MOV);
	assert_true(site.address_reg == RAX && site.size_reg == RDI);
	free(sites.list);
	expect_none(stack_moves, "in time");
	expect_none(size_moves, "in time");
	expect_none(frame_moves, "in time");
	expect_none(torn, "in time");
	expect_none(at_ret, "in time");
	/* where the kernel's do, they are taken as ever */
	test_one(NULL);
	test_size_is_lost(NULL);
	may_execute = false;
}

static void test_entries(void **state)
{
	struct result_sites sites = { 0 };
	struct result_site site;
	char why[RESULT_WHY];

	if (find(short_way, RESULT_SIZE_ARGUMENT, &sites, why) < 0)
		fail_msg("%s", why);
	assert_int_equal(sites.count, 2);
	site = site_at(&sites, short_at, RESULT_HERE);
	assert_int_equal(site.condition, 5 + 1);
	assert_int_equal(site.address_reg, RDX);
	assert_int_equal(site.size_reg, RDI);
	site = site_at(&sites, short_jump, RESULT_ENTRY);
	assert_int_equal(site.size_reg, RDI);
	assert_int_equal(site.sp_words, 0);
	assert_int_equal(site.condition, RESULT_ALWAYS);
	assert_true(site.is_emulated);
	free(sites.list);
	expect_none(short_lost, "in time");
	expect_none(short_deep, "in time");
	expect_none(short_called, "in time");
	expect_none(short_again, "in time");
	expect_none(short_nested, "probed by itself");
}

/* Others may come into what lies behind the places, and into nothing before. */
static void test_others_come_in(void **state)
{
	struct result_sites sites = { 0 };

	assert_int_equal(find_shared(true, NULL, &sites), 0);
	free(sites.list);
	assert_int_equal(find_shared(true, short_jump, &sites), -ENOTSUP);
	assert_int_equal(find_shared(true, short_at, &sites), -ENOTSUP);
	assert_int_equal(find_shared(true, short_at + 2, &sites), 0);
	free(sites.list);
	assert_int_equal(find_shared(false, NULL, &sites), -ENOTSUP);
}

#define FLAGS 0x8c5 /* overflow, sign, zero, parity, carry */

/* setcc of each condition, with the flags that are given. */
static uint16_t conditions_of(uint64_t flags)
{
	uint8_t are_so[16];
	uint16_t all = 0;

	__asm__ volatile("sub $128,%%rsp\n push %1\n popf\n"
			 "seto (%0)\n setno 1(%0)\n setc 2(%0)\n setnc 3(%0)\n"
			 "setz 4(%0)\n setnz 5(%0)\n setbe 6(%0)\n seta 7(%0)\n"
			 "sets 8(%0)\n setns 9(%0)\n setp 10(%0)\n setnp 11(%0)\n"
			 "setl 12(%0)\n setge 13(%0)\n setle 14(%0)\n setg 15(%0)\n"
			 "lea 128(%%rsp),%%rsp"
			 :
			 : "r"(are_so), "r"(flags)
			 : "memory", "cc");
	for (int i = 0; i < 16; i++)
		all |= are_so[i] << i;
	return all;
}

/* All that there are, compared with the processor. */
static void test_conditions(void **state)
{
	for (uint64_t flags = 0; flags <= FLAGS; flags++)
		for (int i = 0; (flags & ~(uint64_t)FLAGS) == 0 && i < 16; i++)
			assert_int_equal(machine_holds(flags | 2, i),
					 conditions_of(flags | 2) >> i & 1);
}

/* A way that goes on in a function seen by itself is told there, the other one here. */
static void test_leaving(void **state)
{
	struct result_sites sites = { 0 };
	char why[RESULT_WHY];

	if (find(leaves, RESULT_SIZE_ARGUMENT, &sites, why) < 0)
		fail_msg("%s", why);
	assert_int_equal(sites.count, 1);
	assert_true(sites.list[0].vaddr > (uint64_t)leaves_at);
	free(sites.list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),	     cmocka_unit_test(test_second_argument),
		cmocka_unit_test(test_size_is_lost), cmocka_unit_test(test_none),
		cmocka_unit_test(test_way_out),	     cmocka_unit_test(test_ours),
		cmocka_unit_test(test_entries),	     cmocka_unit_test(test_others_come_in),
		cmocka_unit_test(test_conditions),   cmocka_unit_test(test_leaving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
