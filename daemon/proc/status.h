#pragma once
/* status: what /proc/PID/status and stat say of a process or a thread (proc(5)). */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_NS_PIDS_MAX 8

/* Of status; absent lines leave 0. */
struct proc_status {
	char state; /* R, S, T, t, Z, X … */
	pid_t tgid, pid, tracer_pid;
	uid_t uid;			 /* real */
	pid_t ns_pids[PROC_NS_PIDS_MAX]; /* as each pid namespace numbers it, outermost first */
	unsigned ns_depth;		 /* how many there are */
	int seccomp_mode, seccomp_filters;
	unsigned thread_count;
	unsigned long long effective_caps;
	unsigned long long caught_signals; /* bit n - 1: signal n has a handler */
	uint64_t rss_bytes;		   /* in memory … */
	uint64_t anonymous_bytes;	   /* … of it, nobody's file's */
	uint64_t swap_bytes;		   /* anonymous, not in memory */
	uint64_t shared_bytes;		   /* of shared memory, and huge pages */
	/* executable mappings, mm_struct.exec_vm: VmExe and VmLib are its parts (task_mem() of the
	 * kernel's fs/proc/task_mmu.c) */
	uint64_t executable_bytes;
};
/* Pure. */
void proc_status_parse(const char *text, struct proc_status *ret);
/* Of a thread that lives; see file.h. -ESRCH, -EACCES, … */
int proc_status_read(pid_t pid, struct proc_status *ret);
/* Of the main thread, gone or not: the numbers of the process. */
int proc_status_read_main(pid_t pid, struct proc_status *ret);

/* Of statm: resident memory, in pages. Pure. -EBADMSG: it is none. */
int proc_statm_parse(const char *text, uint64_t *ret_pages);
/* Resident memory of a process, from counters that the kernel keeps anyway. -ESRCH, -EACCES, … */
int proc_resident_bytes(pid_t pid, uint64_t *ret);

/* Of stat, behind the name, which may hold anything. */
struct proc_stat {
	char state;
	pid_t parent;	      /* 0: none that is seen from here */
	unsigned flags;	      /* PF_… of include/linux/sched.h */
	uint64_t start_ticks; /* after boot. Tells a number that is used again. */
};
/* Pure. -EBADMSG: it is none. */
int proc_stat_parse(const char *text, struct proc_stat *ret);
/* Time that its threads have used, of now and ended ones: by the scheduler's clock, not by ticks.
 * -ESRCH, -EACCES, … */
int proc_cpu_ns(pid_t pid, uint64_t *ret);
/* 0: no such process. */
uint64_t proc_start_ticks(pid_t pid);
pid_t proc_parent(pid_t pid); /* 0: no such process, or none that is seen from here */
bool proc_is_kernel_thread(pid_t pid);
