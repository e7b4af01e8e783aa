/* Blocks from coroutines: coroutines [ROUNDS]. Each kind of stack is made by hand, and begins where
 * nobody called; each allocates a size of its own, so many times, below leak() below a body.
 *
 *   ucontext   1000 bytes  makecontext(): libc's __start_context
 *   mapped     1001        the same, on a stack in a mapping of its own
 *   boost      1002        Boost.Context: the end of make_fcontext
 *   zero       1003        an own switch; 0 as the outermost return address
 *   endless    1004        a function that never returns
 *   returning  1005        a function that might return, to 0
 *   nowhere    1006        the same, to what is no return address: where that stack ends cannot be
 * told behind     1007        one that never returns, and stands right behind another's last call
 *   behind_ret 1008        one that might return, to 0, and stands there
 * build: -lboost_context
 */
#include <sys/mman.h>
#include <ucontext.h>

#include "ledger.h"

#define STACK_BYTES (256 << 10)

/* ---- an own switch: saves what the psABI says a function keeps, and changes the stack -------- */

void own_switch(void **save, void *load);
__asm__(".text\n"
	".p2align 4\n"
	"own_switch:\n"
	".cfi_startproc\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".cfi_endproc\n"
	".size own_switch, . - own_switch\n"
	".type own_switch, @function\n");

static void *own_main, *own_coroutine;

static __attribute__((noinline)) void *leak(size_t size_bytes)
{
	char *p = malloc(size_bytes);

	OPAQUE(p);
	CHECK(p);
	ledger_add(size_bytes);
	return p;
}

static __attribute__((noinline)) void own_body(size_t size_bytes)
{
	for (;;) {
		leak(size_bytes);
		own_switch(&own_coroutine, own_main);
	}
}

static void body_zero(void)
{
	own_body(1003);
}

static void body_endless(void)
{
	own_body(1004);
}

static void body_returning(void)
{
	own_body(1005);
}

static void body_nowhere(void)
{
	own_body(1006);
}

/* Where coroutines of some libraries "return" to: it gives up. */
static __attribute__((noinline, used)) void never_returns(void)
{
	fail("a coroutine returned");
}

static int is_finished;

static __attribute__((noinline, used)) void may_return(void)
{
	OPAQUE(own_main);
	is_finished++;
}

/* Functions end in calls that do not return; what stands next on a boundary follows a call. */
void follows_call(void), follows_stub(void);
__asm__(".section far_text, \"ax\"\n" /* away from the bodies, which might be parts of it else */
	"gives_up:\n"
	".cfi_startproc\n"
	"	ud2\n"
	".cfi_endproc\n"
	".size gives_up, . - gives_up\n"
	".type gives_up, @function\n"
	".text\n"
	".p2align 4\n"
	"ends_in_call:\n"
	".cfi_startproc\n"
	"	sub $24, %rsp\n"
	".cfi_adjust_cfa_offset 24\n"
	"	call gives_up\n"
	".cfi_endproc\n"
	".size ends_in_call, . - ends_in_call\n"
	".type ends_in_call, @function\n"
	"follows_call:\n"
	".cfi_startproc\n"
	"	call gives_up\n"
	".cfi_endproc\n"
	".size follows_call, . - follows_call\n"
	".type follows_call, @function\n"
	".p2align 4\n"
	"ends_in_stub:\n"
	".cfi_startproc\n"
	"	sub $24, %rsp\n"
	".cfi_adjust_cfa_offset 24\n"
	"	call abort@plt\n"
	".cfi_endproc\n"
	".size ends_in_stub, . - ends_in_stub\n"
	".type ends_in_stub, @function\n"
	"follows_stub:\n"
	".cfi_startproc\n"
	"	ret\n"
	".cfi_endproc\n"
	".size follows_stub, . - follows_stub\n"
	".type follows_stub, @function\n");

static void body_behind(void)
{
	own_body(1007);
}

static void body_behind_stub(void)
{
	own_body(1008);
}

static void run_own(void (*body)(void), void (*outermost)(void), uint64_t above, long rounds)
{
	uint64_t *top = (uint64_t *)((char *)mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) +
				     STACK_BYTES - 64);

	CHECK((void *)top != MAP_FAILED);
	top[0] = (uintptr_t)body;
	top[1] = (uintptr_t)outermost;
	top[2] = above;
	own_coroutine = top - 6; /* what own_switch() pops */
	for (long i = 0; i < rounds; i++)
		own_switch(&own_main, own_coroutine);
}

/* ---- makecontext ----------------------------------------------------------------------------- */

static ucontext_t uc_main, uc_coroutine;

static __attribute__((noinline)) void uc_body(size_t size_bytes)
{
	for (;;) {
		leak(size_bytes);
		swapcontext(&uc_coroutine, &uc_main);
	}
}

static void body_ucontext(void)
{
	uc_body(1000);
}

static void body_mapped(void)
{
	uc_body(1001);
}

static void run_ucontext(void *stack, void (*body)(void), long rounds)
{
	CHECK(stack && stack != MAP_FAILED);
	CHECK(getcontext(&uc_coroutine) == 0);
	uc_coroutine.uc_stack.ss_sp = stack;
	uc_coroutine.uc_stack.ss_size = STACK_BYTES;
	uc_coroutine.uc_link = NULL;
	makecontext(&uc_coroutine, body, 0);
	for (long i = 0; i < rounds; i++)
		swapcontext(&uc_main, &uc_coroutine);
}

/* ---- Boost.Context, as its C++ does ---------------------------------------------------------- */

struct transfer {
	void *from, *data;
};

void *make_fcontext(void *top, size_t size, void (*body)(struct transfer));
struct transfer jump_fcontext(void *to, void *data);

static void boost_body(struct transfer from)
{
	for (;;) {
		leak(1002);
		from = jump_fcontext(from.from, NULL);
	}
}

static void run_boost(long rounds)
{
	char *stack =
		mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct transfer from;

	CHECK(stack != MAP_FAILED);
	from.from = make_fcontext(stack + STACK_BYTES, STACK_BYTES, boost_body);
	for (long i = 0; i < rounds; i++)
		from = jump_fcontext(from.from, NULL);
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long rounds = arg_number(argc, argv, own, 10);
	static char stack[STACK_BYTES];

	run_ucontext(stack, body_ucontext, rounds);
	run_ucontext(
		mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		body_mapped, rounds);
	run_boost(rounds);
	run_own(body_zero, NULL, 0, rounds);
	run_own(body_endless, never_returns, 0x1234567, rounds);
	run_own(body_returning, may_return, 0, rounds);
	run_own(body_nowhere, may_return, 0x1234567, rounds);
	run_own(body_behind, follows_call, 0, rounds);
	run_own(body_behind_stub, follows_stub, 0, rounds);
	return target_end("");
}
