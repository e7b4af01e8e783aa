/* A target behind seccomp, which any system call outside its list kills: seccomp FILTER [COUNT]
 * FILTER: list    an allow-list as services write it: what an allocator needs, and no more
 *         strict  SECCOMP_MODE_STRICT: read, write, exit and nothing else
 *
 * Confined first, it says "confined" and waits for a line; then it allocates COUNT blocks of 100
 * bytes, by malloc, calloc, realloc and posix_memalign, frees every second one, prints its book,
 * and waits for a line before it ends. By then the kernel has killed it if anybody made it call
 * what it may not. build: -fno-optimize-sibling-calls
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "ledger.h"

#define BLOCK_BYTES 100
#define MAX_BLOCKS 20000
#define HEAP_BYTES (MAX_BLOCKS * 256 + (1 << 20))

static char *blocks[MAX_BLOCKS];

#define ALLOW(number)                                                                              \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1),                                       \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void confine_by_list(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_brk),
		ALLOW(SYS_mmap),
		ALLOW(SYS_munmap),
		ALLOW(SYS_mremap),
		ALLOW(SYS_madvise),
		ALLOW(SYS_futex),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(*filter), .filter = filter };

	free(malloc(BLOCK_BYTES)); /* the first call asks for random numbers */
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

/* Not even brk is left: the heap has to be there before. */
static void confine_strictly(void)
{
	mallopt(M_TRIM_THRESHOLD, 2 * HEAP_BYTES);
	mallopt(M_TOP_PAD, HEAP_BYTES);
	free(malloc(BLOCK_BYTES));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
}

/* By each function in turn. */
static __attribute__((noinline)) char *take_block(long number)
{
	void *block = NULL;

	switch (number % 4) {
	case 0:
		block = malloc(BLOCK_BYTES);
		break;
	case 1:
		block = calloc(10, BLOCK_BYTES / 10);
		break;
	case 2:
		block = realloc(NULL, BLOCK_BYTES);
		break;
	default:
		CHECK(!posix_memalign(&block, 64, BLOCK_BYTES));
	}
	OPAQUE(block);
	CHECK(block);
	ledger_add(BLOCK_BYTES);
	return block;
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long count = arg_number(argc, argv, own + 1, 2000);

	CHECK(own < argc && count <= MAX_BLOCKS);
	if (!strcmp(argv[own], "strict"))
		confine_strictly();
	else
		confine_by_list();
	say("confined\n");
	wait_for_line();
	for (long i = 0; i < count; i++)
		blocks[i] = take_block(i);
	for (long i = 0; i < count; i += 2) {
		free(blocks[i]);
		ledger_drop(BLOCK_BYTES);
	}
	target_print("");
	wait_for_line();
	syscall(SYS_exit, 0); /* exit_group is not for the strict */
}
