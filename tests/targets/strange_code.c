/* strange_code: allocations below code that no compiler makes, and that has no call frame
 * information. Each way allocates BLOCKS blocks of its own size (the enum) from main and keeps
 * them.
 *
 *   strange_code [WAY...]     numbers; all if none is given
 */
#include <stdlib.h>

#define BLOCKS 10

enum way {
	MOVES_RETURN =
		1,   /* as V8's builtins: the return address is moved to put arguments below it */
	ZERO_RBP,    /* no frame, rbp is 0, and nobody can tell how much is on the stack */
	LYING_RBP,   /* the same, but rbp points at two words that look like a frame */
	AFTER_ABORT, /* the compiler's g_malloc: a call of abort() is followed by other code */
	WAYS
};

void *allocate_odd(size_t size);
void *kept[WAYS][BLOCKS];

__attribute__((noinline)) void *allocate_odd(size_t size)
{
	return malloc(size);
}

void *moves_return(size_t size);
void *zero_rbp(size_t size);
void *lying_rbp(size_t size);
void *after_abort(size_t size);

/* Sections without .cfi_startproc get no FDE. Functions have symbols: they are read. */
__asm__(".section builtins, \"ax\"\n" /* as V8's: all of it keeps frame pointers */
	".type moves_return, @function\n"
	"moves_return:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	call builtin\n"
	"	leave\n"
	"	ret\n"
	".size moves_return, . - moves_return\n"
	".type builtin, @function\n"
	"builtin:\n"
	"	pop %rax\n"
	"	push $5\n"
	"	push $6\n"
	"	push %rax\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	call allocate_odd\n"
	"	leave\n"
	"	ret $16\n"
	".size builtin, . - builtin\n"

	/* how far rsp moves is read from memory */
	".text\n"
	".type zero_rbp, @function\n"
	"zero_rbp:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	mov odd_bytes(%rip), %rbx\n"
	"	sub %rbx, %rsp\n"
	"	xor %ebp, %ebp\n"
	"	call allocate_odd\n"
	"	add %rbx, %rsp\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size zero_rbp, . - zero_rbp\n"

	/* two words above the stack pointer: a saved rbp of 0, and the address of code that was
	   jumped to, not called */
	".type lying_rbp, @function\n"
	"lying_rbp:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	lea 1f(%rip), %rax\n"
	"	push %rax\n"
	"	push $0\n"
	"	mov %rsp, %rbp\n"
	"	mov odd_bytes(%rip), %rbx\n"
	"	sub %rbx, %rsp\n"
	"	jmp 1f\n"
	"	nop\n"
	"1:	call allocate_odd\n"
	"	add %rbx, %rsp\n"
	"	add $16, %rsp\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size lying_rbp, . - lying_rbp\n"

	".type after_abort, @function\n"
	"after_abort:\n"
	"	test %rdi, %rdi\n"
	"	je 1f\n"
	"	push %rbx\n"
	"	mov %rdi, %rbx\n"
	"	call allocate_odd\n"
	"	test %rax, %rax\n"
	"	je 2f\n"
	"	pop %rbx\n"
	"	ret\n"
	"2:	call abort@plt\n"
	"1:	xor %eax, %eax\n"
	"	ret\n"
	".size after_abort, . - after_abort\n"

	".data\n"
	"odd_bytes: .quad 40\n"
	".text\n");

typedef void *(*function)(size_t size);

static void allocate(enum way way)
{
	static const function functions[] = {
		[MOVES_RETURN] = moves_return,
		[ZERO_RBP] = zero_rbp,
		[LYING_RBP] = lying_rbp,
		[AFTER_ABORT] = after_abort,
	};

	for (int i = 0; i < BLOCKS; i++) {
		kept[way][i] = functions[way](1000 + way);
		__asm__ volatile("" : : : "memory");
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		allocate((enum way)atoi(argv[i]));
	for (int way = 1; argc == 1 && way < WAYS; way++)
		allocate((enum way)way);
	return 0;
}
