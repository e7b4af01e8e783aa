/* For LD_PRELOAD with dhatd: the links of a kernel of 6.6 to 6.9 whose uprobe_multi sees one thread
 * of a process only, as far as dhatd tries them on itself. A link on its own code that is to see
 * the process is made for another, so that its threads go unseen. */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINK_CREATE                                                                                \
	28 /* include/uapi/linux/bpf.h: BPF_LINK_CREATE, BPF_TRACE_UPROBE_MULTI, …_SESSION */
#define UPROBE_MULTI 48
#define UPROBE_SESSION 57

struct link_create { /* of union bpf_attr */
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t count, multi_flags, pid, pad;
};

static long system_call(long number, const long args[6])
{
	register long r10 __asm__("r10") = args[3], r8 __asm__("r8") = args[4],
			  r9 __asm__("r9") = args[5];
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(args[0]), "S"(args[1]), "d"(args[2]), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

long syscall(long number, ...)
{
	long args[6], result;
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		args[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf && args[0] == LINK_CREATE) {
		struct link_create *attr = (void *)args[1];

		if ((attr->attach_type == UPROBE_MULTI || attr->attach_type == UPROBE_SESSION) &&
		    strcmp((const char *)attr->path, "/proc/self/exe") == 0 &&
		    attr->pid == (uint32_t)getpid())
			attr->pid = getppid();
	}
	result = system_call(number, args);
	if (result < 0 && result > -4096) {
		errno = -result;
		return -1;
	}
	return result;
}
