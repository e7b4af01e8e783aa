/* confined: a process under a seccomp allow-list of the strictest kind: any system call but those
 * that it needs kills it. Each line on stdin allocates ten blocks of 100 bytes by malloc, calloc,
 * realloc and posix_memalign and frees half of them. Says "ready" at first and "done" after each
 * line. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALLOW(number)                                                                              \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),                                         \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int confine(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(__NR_read),
		ALLOW(__NR_write),
		ALLOW(__NR_mmap),
		ALLOW(__NR_munmap),
		ALLOW(__NR_brk),
		ALLOW(__NR_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program);
}

static void say(const char *line)
{
	(void)!write(1, line, strlen(line));
}

static void *volatile kept[5];

static void allocate(void)
{
	void *blocks[10];
	int i;

	for (i = 0; i < 4; i++)
		blocks[i] = malloc(100);
	for (; i < 7; i++)
		blocks[i] = calloc(10, 10);
	for (; i < 9; i++)
		blocks[i] = realloc(NULL, 100);
	if (posix_memalign(&blocks[9], 64, 100))
		_exit(2);
	for (i = 0; i < 5; i++)
		free(blocks[i]);
	for (i = 0; i < 5; i++)
		kept[i] = blocks[5 + i];
}

int main(void)
{
	char byte;

	free(malloc(1)); /* the heap is there before the filter is */
	if (confine())
		return 1;
	say("ready\n");
	while (read(0, &byte, 1) == 1) {
		if (byte != '\n')
			continue;
		allocate();
		say("done\n");
	}
	return 0;
}
