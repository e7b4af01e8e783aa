/* result_judge: are result sites what they are taken for? Asked of the processor.
 *
 *   result_judge [--calls N] [--seed N] [LIBRARY...]   the C library, and allocators that are
 *                                                      installed, if none is named
 *   result_judge [--calls N] [--seed N] --libc DIR     another C library, by its own loader
 *   result_judge [--calls N] [--seed N] --libc DIR LIBRARY...   allocators with that
 *
 * A child calls each function that has result sites with random sizes, frees in between, gives
 * blocks to other threads, with and without glibc's thread caches, in one arena and in several, and
 * asks for sizes that nobody can have: N calls (8,000) in each setting, by two threads one after
 * the other, or by four at once. It stops at each result site, and behind each call. For each call
 * that has returned a block exactly one site was passed at which that block was known, with the
 * size that was asked for, the return address and the caller's frame pointer; for each that has
 * failed none; and what was begun has ended. A call may pass one entry instead, with the size and
 * its return address on top of the stack.
 * In runs of their own memory becomes short: calls fail that others do not, or find something in
 * another arena after all.
 *
 * Breakpoints stay where they are, so that no thread slips through while another one goes on: the
 * jumps, calls and pushes that the kernel emulates are done here. What else there is, is left to
 * the processor, while all other threads are held.
 *
 * What is called is the seed's doing, and addresses are not random: but for the order of threads, a
 * run can be repeated.
 *
 * The libraries are copied before: who probes the same file elsewhere on this machine, and lets go
 * of that, would take our breakpoints for his.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/dhat_abi.h"
#include "daemon/object/sites/surveyor.h"
#include "daemon/proc/procmaps.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

#define MAX_PLACES 512
#define MAX_THREADS 8
#define AT_ONCE 4

static char calls_wanted[24] = "8000"; /* of a run; there are several for each library */

/* ---- what is called ------------------------------------------------------------------------- */

/* Where the size is, and what else there is. */
enum kind {
	SIZE,	      /* f(size) */
	PRODUCT,      /* f(count, size) */
	SIZE_ALIGN,   /* f(size, align) */
	ALIGN_SIZE,   /* f(align, size) */
	HEAP_SIZE,    /* f(heap, size) of mimalloc */
	HEAP_PRODUCT, /* f(heap, count, size) */
};

static const struct callee {
	const char *name;
	enum kind kind;
	size_t most;	/* it takes no more; 0: any */
	bool must_have; /* it throws, or ends the program, where it fails */
} callees[] = {
	{ .name = "malloc", .kind = SIZE },
	{ .name = "calloc", .kind = PRODUCT },
	{ .name = "aligned_alloc", .kind = ALIGN_SIZE },
	{ .name = "memalign", .kind = ALIGN_SIZE },
	{ .name = "valloc", .kind = SIZE },
	{ .name = "mallocx", .kind = SIZE_ALIGN }, /* flags: the alignment's logarithm */
	{ .name = "tc_malloc_skip_new_handler", .kind = SIZE },
	{ .name = "tc_new_nothrow", .kind = SIZE },
	{ .name = "_ZnwmRKSt9nothrow_t", .kind = SIZE },
	{ .name = "_ZnamRKSt9nothrow_t", .kind = SIZE },
	{ .name = "mi_malloc_small", .kind = SIZE, .most = 1024 },
	{ .name = "mi_zalloc_small", .kind = SIZE, .most = 1024 },
	{ .name = "mi_heap_malloc_small", .kind = HEAP_SIZE, .most = 1024 },
	{ .name = "mi_theap_malloc_small", .kind = HEAP_SIZE, .most = 1024 },
	{ .name = "mi_theap_zalloc_small", .kind = HEAP_SIZE, .most = 1024 },
	{ .name = "mi_theap_malloc", .kind = HEAP_SIZE },
	{ .name = "mi_theap_zalloc", .kind = HEAP_SIZE },
	{ .name = "mi_theap_calloc", .kind = HEAP_PRODUCT },
	{ .name = "mi_theap_mallocn", .kind = HEAP_PRODUCT },
	{ .name = "mi_malloc", .kind = SIZE },
	{ .name = "mi_zalloc", .kind = SIZE },
	{ .name = "mi_heap_malloc", .kind = HEAP_SIZE },
	{ .name = "mi_heap_zalloc", .kind = HEAP_SIZE },
	{ .name = "mi_calloc", .kind = PRODUCT },
	{ .name = "mi_mallocn", .kind = PRODUCT },
	{ .name = "mi_heap_calloc", .kind = HEAP_PRODUCT },
	{ .name = "mi_heap_mallocn", .kind = HEAP_PRODUCT },
	{ .name = "mi_new", .kind = SIZE, .must_have = true },
	{ .name = "mi_new_n", .kind = PRODUCT, .must_have = true },
	{ .name = "mi_new_nothrow", .kind = SIZE },
	{ .name = "mi_new_aligned", .kind = SIZE_ALIGN, .must_have = true },
	{ .name = "mi_new_aligned_nothrow", .kind = SIZE_ALIGN },
	/* these store the size that they have given at their last argument */
	{ .name = "mi_umalloc", .kind = SIZE },
	{ .name = "mi_umalloc_small", .kind = SIZE, .most = 1024 },
	{ .name = "mi_uzalloc", .kind = SIZE },
	{ .name = "mi_uzalloc_small", .kind = SIZE, .most = 1024 },
	{ .name = "mi_ucalloc", .kind = PRODUCT },
	{ .name = "mi_memalign", .kind = ALIGN_SIZE },
	{ .name = "mi_aligned_alloc", .kind = ALIGN_SIZE },
};

#define CALLEES ARRAY_SIZE(callees)

static const struct callee *callee_of(const char *name)
{
	for (size_t i = 0; i < CALLEES; i++)
		if (!strcmp(callees[i].name, name))
			return &callees[i];
	return NULL;
}

/* ---- the child ------------------------------------------------------------------------------ */

/* Behind the call rax is the result, and the registers that a function keeps hold what it was
 * called for: rbx the size, rbp something that is no frame. */
void *judge_call(void *function, const size_t arguments[3], size_t size);
extern const char judge_behind[];
__asm__(".text\n.globl judge_call, judge_behind\njudge_call:\n"
	"push %rbx\n push %rbp\n push %r12\n mov %rdi,%rax\n mov %rsi,%r12\n mov %rdx,%rbx\n"
	"lea 5(%rsi,%rdx,2),%rbp\n mov (%r12),%rdi\n mov 8(%r12),%rsi\n mov 16(%r12),%rdx\n"
	"call *%rax\n judge_behind: nop\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

struct caller {
	uint64_t random;
	size_t count;
	bool becomes_short; /* of memory */
};

static uint64_t next_random(struct caller *caller)
{
	caller->random =
		caller->random * 6364136223846793005ull + 1442695040888963407ull; /* Knuth, MMIX */
	return caller->random >> 20;
}

/* Mostly small; now and then a mapping of its own, and more than there is. */
static size_t random_size(struct caller *caller, const struct callee *callee)
{
	size_t size = next_random(caller) % 200;
	uint64_t kind = next_random(caller) % 64;

	if (kind == 0)
		size = next_random(caller) % (1 << 20);
	else if (kind == 1 && !callee->must_have)
		size = SIZE_MAX / 2 + next_random(caller) % 4096; /* refused at once */
	else if (kind == 2 && !callee->must_have)
		size = (1ull << 46) + next_random(caller); /* refused by the kernel */
	else if (kind < 13)
		size = next_random(caller) % 8192;
	return callee->most && size > callee->most ? size % callee->most : size;
}

static struct {
	const struct callee *callee;
	void *function;
} called[CALLEES];
static size_t called_count;
/* mimalloc's, of each thread; of 3.6 a heap is everybody's, and a theap a thread's */
static _Thread_local void *heap, *theap;

static void *ask_for(const char *name)
{
	void *(*function)(void);

	*(void **)&function = dlsym(RTLD_DEFAULT, name);
	return function ? function() : NULL;
}

static void *call(struct caller *caller)
{
	size_t number = next_random(caller) % called_count, arguments[3] = { 0 }, size, times;
	size_t given; /* by mimalloc */
	const struct callee *callee = called[number].callee;

	arguments[0] = (size_t)(strncmp(callee->name, "mi_theap", 8) ? heap : theap);
	size = random_size(caller, callee);
	times = 1 + next_random(caller) % 5;
	switch (callee->kind) {
	case SIZE:
		arguments[0] = size;
		arguments[1] = (size_t)&given;
		break;
	case HEAP_SIZE:
		arguments[1] = size;
		break;
	case SIZE_ALIGN:
		size += !size; /* mallocx() has to have one */
		arguments[0] = size;
		arguments[1] = !strcmp(callee->name, "mallocx") ? times : 8u << times;
		break;
	case ALIGN_SIZE:
		arguments[0] = 8u << times;
		arguments[1] = size;
		break;
	case PRODUCT:
		arguments[0] = size;
		arguments[1] = times;
		arguments[2] = (size_t)&given;
		size *= times;
		break;
	case HEAP_PRODUCT:
		arguments[1] = size;
		arguments[2] = times;
		size *= times;
		break;
	}
	return judge_call(called[number].function, arguments, size);
}

#define HELD 512
#define SHARED 64

static void *_Atomic shared[SHARED]; /* from one thread to another */

static void call_times(struct caller *caller, size_t count)
{
	void *held[HELD] = { NULL };

	for (size_t i = 0; i < count; i++) {
		size_t slot = next_random(caller) % HELD;

		if (next_random(caller) % 8 == 0)
			held[slot] =
				atomic_exchange(&shared[next_random(caller) % SHARED], held[slot]);
		free(held[slot]);
		held[slot] = call(caller);
	}
	for (size_t i = 0; i < HELD; i++)
		free(held[i]);
}

/* Short of memory: from half way on, when the thread has an arena of its own, no heap grows any
 * more, nor is there another. What is free in one that there is has to do. */
static void *call_much(void *caller_)
{
	/* not 0: the kernel takes that for no limit, since Valgrind once set it */
	static const struct rlimit none = { .rlim_cur = 1, .rlim_max = RLIM_INFINITY };
	struct caller *caller = caller_;

	heap = ask_for("mi_heap_get_default") ?: ask_for("mi_heap_main");
	theap = ask_for("mi_theap_get_default");
	call_times(caller, caller->count / 2);
	if (caller->becomes_short && (malloc_trim(0) < 0 || setrlimit(RLIMIT_DATA, &none)))
		return NULL;
	call_times(caller, caller->count - caller->count / 2);
	return NULL;
}

static bool find_callees(char *const *names)
{
	for (; *names && called_count < CALLEES; names++) {
		called[called_count].callee = callee_of(*names);
		called[called_count].function = dlsym(RTLD_DEFAULT, *names);
		if (!called[called_count].callee || !called[called_count].function) {
			printf("%s: cannot be called\n", *names);
			return false;
		}
		called_count++;
	}
	return called_count > 0;
}

/* SEED CALLS HOW NAME...; HOW: "in-turn" or "at-once", with "-short" if memory becomes so. */
static int child(char *const *words)
{
	uint64_t first = strtoull(words[0], NULL, 10);
	bool at_once = !strncmp(words[2], "at-once", 7), is_short = strstr(words[2], "-short");
	size_t threads = at_once ? AT_ONCE : 2;
	struct caller callers[AT_ONCE];
	pthread_t thread[AT_ONCE];

	if (!find_callees(words + 3))
		return 1;
	for (size_t i = 0; i < threads; i++)
		callers[i] = (struct caller){ .random = first + i * 977,
					      .count = strtoull(words[1], NULL, 10) / threads,
					      .becomes_short = is_short && i == threads - 1 };
	raise(SIGTRAP); /* breakpoints are placed now */
	if (!at_once)
		call_much(&callers[0]);
	for (size_t i = 1; i < threads; i++) {
		if (pthread_create(&thread[i], NULL, call_much, &callers[i]))
			return 1;
		if (!at_once)
			pthread_join(thread[i], NULL);
	}
	if (at_once)
		call_much(&callers[0]);
	for (size_t i = 1; i < threads && at_once; i++)
		pthread_join(thread[i], NULL);
	return 0;
}

/* ---- places --------------------------------------------------------------------------------- */

struct place {
	uint64_t addr;
	uint8_t code[16]; /* what is there */
	struct site_result result;
	bool is_behind;
};

struct call { /* of one thread */
	pid_t tid;
	bool has_begun;
	uint64_t saved, address, size, frame;
	unsigned told, entered;
};

struct judge {
	pid_t pid;
	struct place places[MAX_PLACES];
	size_t count;
	uint64_t behind; /* where judge_call() is returned to */
	struct call call[MAX_THREADS];
	uint64_t calls, blocks, failures, begun, entered;
	const char *wrong;
	bool runs_at_once;
	struct stop {
		pid_t tid;
		int status;
	} stops[MAX_THREADS]; /* that threads have come to while all were held, and wait with */
	size_t stop_count;
};

static int place_at(struct judge *j, uint64_t addr, struct place place)
{
	if (j->count == MAX_PLACES)
		return -E2BIG;
	place.addr = addr;
	j->places[j->count++] = place;
	return 0;
}

static int place_sites(struct judge *j, const char *path, const struct survey *survey)
{
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	int r = procmaps_read(j->pid, &maps);

	for (size_t m = 0; m < maps.count && r == 0; m++) {
		const struct procmaps_entry *map = &maps.entries[m];

		if (!map->is_executable || strcmp(map->path, path))
			continue;
		for (size_t i = 0; i < survey->allocators.count; i++) {
			const struct site *site = &survey->allocators.list[i];

			for (size_t k = 0; k < site->result_count && r == 0; k++) {
				uint64_t offset = site->results[k].file_offset;

				if (offset >= map->file_offset &&
				    offset - map->file_offset < map->end - map->start)
					r = place_at(j, map->start + (offset - map->file_offset),
						     (struct place){ .result = site->results[k] });
			}
		}
	}
	return r;
}

/* The child is this program too, somewhere else. */
static int place_behind(struct judge *j)
{
	_cleanup_(procmaps_deinit) struct procmaps own = { 0 }, maps = { 0 };
	uint64_t addr = (uint64_t)judge_behind;
	int r = procmaps_read(getpid(), &own);

	r = r ? r : procmaps_read(j->pid, &maps);
	for (size_t i = 0; i < own.count && r == 0; i++) {
		const struct procmaps_entry *here = &own.entries[i];

		if (addr < here->start || addr >= here->end)
			continue;
		for (size_t k = 0; k < maps.count; k++)
			if (maps.entries[k].is_executable &&
			    !strcmp(maps.entries[k].path, here->path) &&
			    maps.entries[k].file_offset == here->file_offset) {
				j->behind = maps.entries[k].start + (addr - here->start);
				return place_at(j, j->behind, (struct place){ .is_behind = true });
			}
	}
	return r ? r : -ENOENT;
}

/* One byte: places may be closer to each other than a word. */
static bool write_code(pid_t tid, const struct place *place, bool is_break)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, tid, place->addr, 0L);
	return errno == 0 && ptrace(PTRACE_POKETEXT, tid, place->addr,
				    (word & ~0xffl) | (is_break ? 0xcc : place->code[0])) == 0;
}

static bool read_code(pid_t tid, struct place *place)
{
	for (size_t i = 0; i < sizeof(place->code); i += sizeof(long)) {
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKTEXT, tid, place->addr + i, 0L);
		if (errno)
			return false;
		memcpy(place->code + i, &word, sizeof(word));
	}
	return true;
}

static bool arm(struct judge *j)
{
	for (size_t i = 0; i < j->count; i++)
		if (!read_code(j->pid, &j->places[i]))
			return false;
	for (size_t i = 0; i < j->count; i++)
		if (!write_code(j->pid, &j->places[i], true))
			return false;
	return true;
}

/* ---- what is seen --------------------------------------------------------------------------- */

static uint64_t register_of(const struct user_regs_struct *regs, uint8_t number)
{
	const uint64_t all[] = { regs->rax, regs->rcx, regs->rdx, regs->rbx, regs->rsp, regs->rbp,
				 regs->rsi, regs->rdi, regs->r8,  regs->r9,  regs->r10, regs->r11,
				 regs->r12, regs->r13, regs->r14, regs->r15 };

	return all[number];
}

/* As a conditional jump has it (Intel SDM vol. 1, appendix B). */
static bool holds(const struct user_regs_struct *regs, uint8_t condition)
{
	const bool carry = regs->eflags & 1, parity = regs->eflags & 4, zero = regs->eflags & 64,
		   sign = regs->eflags & 128, overflow = regs->eflags & 2048;
	const bool are_so[] = { overflow,
				carry,
				zero,
				carry || zero,
				sign,
				parity,
				sign != overflow,
				zero || sign != overflow };

	return are_so[condition / 2] != (condition & 1);
}

static struct call *call_of(struct judge *j, pid_t tid)
{
	for (size_t i = 0; i < MAX_THREADS; i++) {
		if (!j->call[i].tid)
			j->call[i].tid = tid;
		if (j->call[i].tid == tid)
			return &j->call[i];
	}
	j->wrong = "there are too many threads";
	return &j->call[0];
}

static void see_entry(struct judge *j, struct call *call, const struct site_result *result,
		      const struct user_regs_struct *regs)
{
	call->entered++;
	call->size = register_of(regs, result->size_reg);
	j->entered++;
	if (result->sp_words || result->condition)
		j->wrong = "no return probe may be there";
}

static void see_result(struct judge *j, const struct site_result *result,
		       const struct user_regs_struct *regs, pid_t tid)
{
	struct call *call = call_of(j, tid);
	uint64_t address = register_of(regs, result->address_reg);
	uint64_t return_address =
		ptrace(PTRACE_PEEKDATA, tid, regs->rsp + 8ul * result->sp_words, 0L);

	if (return_address != j->behind)
		return; /* what the C library needs for the thread */
	if (result->condition && !holds(regs, result->condition - 1))
		return;
	switch (result->kind) {
	case SITE_RESULT_ENTRY:
		see_entry(j, call, result, regs);
		return;
	case SITE_RESULT_BEGIN:
		call->has_begun = true;
		call->saved = register_of(regs, result->size_reg);
		j->begun++;
		return;
	case SITE_RESULT_END:
		call->has_begun = false;
		return;
	}
	if (result->size_reg != DHAT_RESULT_SAVED)
		call->size = register_of(regs, result->size_reg);
	else if (call->has_begun)
		call->size = call->saved;
	else
		j->wrong = "a size is said to have been saved, and was not";
	call->has_begun = false;
	if (!address)
		return;
	call->told++;
	call->address = address;
	call->frame = result->frame_words
			      ? (uint64_t)ptrace(PTRACE_PEEKDATA, tid,
						 regs->rsp + 8ul * (result->frame_words - 1), 0L)
			      : regs->rbp;
}

static void see_end(struct judge *j, const struct user_regs_struct *regs, pid_t tid)
{
	struct call *call = call_of(j, tid);
	uint64_t size = regs->rbx;

	j->calls++;
	if (call->entered) {
		j->blocks += regs->rax != 0;
		j->failures += regs->rax == 0;
		if (call->entered > 1 || call->told)
			j->wrong = "a call that was entered was told, too";
		else if (call->size != size)
			j->wrong = "another size was told";
	} else if (regs->rax) {
		j->blocks++;
		if (call->told != 1)
			j->wrong = call->told ? "a block was told twice" : "a block was not told";
		else if (call->address != regs->rax)
			j->wrong = "another block was told";
		else if (call->size != size)
			j->wrong = "another size was told";
		else if (call->frame != regs->rbp)
			j->wrong = "another frame pointer was told";
	} else {
		j->failures++;
		if (call->told)
			j->wrong = "a block was told where none was returned";
	}
	if (call->has_begun)
		j->wrong = "what was begun has not ended";
	*call = (struct call){ .tid = tid };
}

static struct place *place_of(struct judge *j, uint64_t addr)
{
	for (size_t i = 0; i < j->count; i++)
		if (j->places[i].addr == addr)
			return &j->places[i];
	return NULL;
}

/* ---- what the code says there ---------------------------------------------------------------- */

static int32_t distance(const uint8_t *at, size_t bytes)
{
	int32_t far;

	if (bytes == 1)
		return (int8_t)at[0];
	memcpy(&far, at, sizeof(far));
	return far;
}

static bool push(pid_t tid, struct user_regs_struct *regs, uint64_t word)
{
	regs->rsp -= 8;
	return ptrace(PTRACE_POKEDATA, tid, regs->rsp, word) == 0;
}

/* In the processor's place: jumps, calls, pushes (Intel SDM vol. 2), which is what the kernel
 * emulates. false: it is none of these. */
static bool emulate(pid_t tid, const struct place *place, struct user_regs_struct *regs)
{
	const uint8_t *code = place->code;
	uint64_t at = regs->rip;

	if (place->is_behind) { /* our nop */
		regs->rip = at + 1;
		return true;
	}
	if ((code[0] & 0xf0) == 0x70 || code[0] == 0xeb) { /* jcc, jmp rel8 */
		bool is_taken = code[0] == 0xeb || holds(regs, code[0] & 15);

		regs->rip = at + 2 + (is_taken ? distance(code + 1, 1) : 0);
		return true;
	}
	if (code[0] == 0x0f && (code[1] & 0xf0) == 0x80) { /* jcc rel32 */
		regs->rip = at + 6 + (holds(regs, code[1] & 15) ? distance(code + 2, 4) : 0);
		return true;
	}
	if (code[0] == 0xe9) {
		regs->rip = at + 5 + distance(code + 1, 4);
		return true;
	}
	if (code[0] == 0xe8) {
		regs->rip = at + 5 + distance(code + 1, 4);
		return push(tid, regs, at + 5);
	}
	if ((code[0] & 0xf8) == 0x50) {
		regs->rip = at + 1;
		return push(tid, regs, register_of(regs, code[0] & 7));
	}
	if (code[0] == 0x41 && (code[1] & 0xf8) == 0x50) {
		regs->rip = at + 2;
		return push(tid, regs, register_of(regs, 8 + (code[1] & 7)));
	}
	return false;
}

static bool waits(const struct judge *j, pid_t tid)
{
	for (size_t i = 0; i < j->stop_count; i++)
		if (j->stops[i].tid == tid)
			return true;
	return false;
}

/* Stops a thread that runs. false: it stands at a stop of its own, which has to be seen, or has
 * ended. (Then the signal comes later, and does nothing.) */
static bool hold(struct judge *j, pid_t tid)
{
	int status;

	if (waits(j, tid) || syscall(SYS_tgkill, j->pid, tid, SIGSTOP) ||
	    waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
		return false;
	if (status >> 8 == SIGSTOP)
		return true;
	if (j->stop_count == MAX_THREADS)
		j->wrong = "there are too many threads";
	else
		j->stops[j->stop_count++] = (struct stop){ tid, status };
	return false;
}

static size_t hold_others(struct judge *j, pid_t tid, pid_t held[MAX_THREADS])
{
	struct dirent *entry;
	size_t count = 0;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", j->pid);
	dir = opendir(path);
	while (dir && count < MAX_THREADS && (entry = readdir(dir))) {
		pid_t other = atoi(entry->d_name);

		if (other > 0 && other != tid && hold(j, other))
			held[count++] = other;
	}
	if (dir)
		closedir(dir);
	return count;
}

/* By the processor, while nobody else runs. */
static bool step(struct judge *j, pid_t tid, const struct place *place,
		 struct user_regs_struct *regs)
{
	pid_t held[MAX_THREADS];
	size_t count = j->runs_at_once ? hold_others(j, tid, held) : 0;
	int status;
	bool is_done = ptrace(PTRACE_SETREGS, tid, 0L, regs) == 0 &&
		       write_code(tid, place, false) && ptrace(PTRACE_SINGLESTEP, tid, 0L, 0L) == 0;

	/* a signal from before comes first */
	while (is_done && waitpid(tid, &status, __WALL) == tid && status >> 8 == SIGSTOP)
		is_done = ptrace(PTRACE_SINGLESTEP, tid, 0L, 0L) == 0;
	is_done = is_done && WIFSTOPPED(status) && write_code(tid, place, true);
	while (count)
		ptrace(PTRACE_CONT, held[--count], 0L, 0L);
	return is_done;
}

/* A thread has run into a breakpoint: look, and let it do what the code says there. */
static bool see(struct judge *j, pid_t tid)
{
	struct user_regs_struct regs;
	struct place *place;

	if (ptrace(PTRACE_GETREGS, tid, 0L, &regs) < 0)
		return false;
	place = place_of(j, --regs.rip);
	if (!place)
		return false;
	if (place->is_behind)
		see_end(j, &regs, tid);
	else
		see_result(j, &place->result, &regs, tid);
	if (j->wrong)
		printf("%s: site at 0x%" PRIx64 ", call for %" PRIu64 "\n", j->wrong,
		       (uint64_t)regs.rip, (uint64_t)regs.rbx);
	if (emulate(tid, place, &regs))
		return ptrace(PTRACE_SETREGS, tid, 0L, &regs) == 0;
	return step(j, tid, place, &regs);
}

/* ---- a run ---------------------------------------------------------------------------------- */

struct subject {
	char *path;		     /* of the library */
	const char *preload;	     /* NULL: it is there anyway */
	const char *loader, *folder; /* NULL: the system's */
	struct survey *survey;
	const char *names[CALLEES + 1]; /* of its functions that have result sites */
	size_t count;
};

struct setting {
	const char *name, *tunables;
	bool is_short_of_memory, is_libcs; /* is_libcs: for no other allocator */
	bool runs_at_once;
};

/* What is called in a setting; NULL-terminated. */
static size_t list_names(const struct subject *subject, const struct setting *setting,
			 char *ret[CALLEES + 1])
{
	size_t count = 0;

	for (size_t i = 0; i < subject->count; i++)
		if (!setting->is_short_of_memory || !callee_of(subject->names[i])->must_have)
			ret[count++] = without_qualifiers(subject->names[i]);
	ret[count] = NULL;
	return count;
}

static void start(const struct subject *subject, const char *seed, const struct setting *setting)
{
	char *self = realpath("/proc/self/exe", NULL),
	     *loader = without_qualifiers(subject->loader), how[16];
	char *argv[8 + CALLEES + 1] = { loader,
					without_qualifiers("--library-path"),
					without_qualifiers(subject->folder),
					self,
					without_qualifiers("--child"),
					without_qualifiers(seed),
					calls_wanted };

	snprintf(how, sizeof(how), "%s%s", setting->runs_at_once ? "at-once" : "in-turn",
		 setting->is_short_of_memory ? "-short" : "");
	argv[7] = how;
	list_names(subject, setting, argv + 8);
	if (subject->preload)
		setenv("LD_PRELOAD", subject->preload, 1);
	if (setting->tunables)
		setenv("GLIBC_TUNABLES", setting->tunables, 1);
	personality(ADDR_NO_RANDOMIZE);
	ptrace(PTRACE_TRACEME, 0L, 0L, 0L);
	execv(loader ?: self, loader ? argv : argv + 3);
	_exit(127);
}

/* Until the child has ended; true: it has, by itself, and nothing was wrong. */
static bool watch(struct judge *j, const char *path, const struct survey *survey)
{
	bool is_armed = false;
	int status;
	pid_t tid;

	for (;;) {
		if (j->stop_count) {
			tid = j->stops[--j->stop_count].tid;
			status = j->stops[j->stop_count].status;
		} else {
			tid = waitpid(-1, &status, __WALL);
		}
		if (tid < 0)
			return false;
		if (!WIFSTOPPED(status)) {
			if (tid == j->pid)
				return WIFEXITED(status) && WEXITSTATUS(status) == 0 && is_armed;
			continue;
		}
		if (status >> 8 == SIGTRAP && !is_armed) {
			static bool has_execed; /* execve stops with SIGTRAP, too */

			has_execed = !has_execed;
			if (!has_execed) {
				ptrace(PTRACE_SETOPTIONS, j->pid, 0L,
				       PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
				if (place_sites(j, path, survey) < 0 || place_behind(j) < 0 ||
				    !arm(j))
					return false;
				is_armed = true;
			}
		} else if (status >> 8 == SIGTRAP && (!see(j, tid) || j->wrong)) {
			return false;
		}
		ptrace(PTRACE_CONT, tid, 0L, 0L);
	}
}

static char seed[24]; /* of all runs */

static bool run(const struct subject *subject, const struct setting *setting)
{
	struct judge *j = calloc(1, sizeof(*j));
	uint64_t threads = setting->runs_at_once ? AT_ONCE : 2;
	char *names[CALLEES + 1];
	bool is_right;
	int status;

	if (!list_names(subject, setting, names))
		return true;
	j->runs_at_once = setting->runs_at_once;
	j->pid = fork();
	if (j->pid == 0)
		start(subject, seed, setting);
	is_right = watch(j, subject->path, subject->survey);
	if (!is_right) {
		kill(j->pid, SIGKILL);
		while (waitpid(-1, &status, __WALL) > 0)
			;
	}
	is_right &= j->calls == strtoull(calls_wanted, NULL, 10) / threads * threads;
	printf("# %s%s: %" PRIu64 " calls", setting->name, setting->runs_at_once ? ", at once" : "",
	       j->calls);
	for (size_t i = 0; names[i]; i++)
		printf("%s%s", i ? ", " : " of ", names[i]);
	printf("; %" PRIu64 " blocks, %" PRIu64 " failed, %" PRIu64 " begun, %" PRIu64
	       " entered: %s\n",
	       j->blocks, j->failures, j->begun, j->entered, is_right ? "right" : "WRONG");
	fflush(stdout);
	free(j);
	return is_right;
}

static void subject_deinit(struct subject *subject)
{
	free(subject->path);
	survey_free(subject->survey);
}

/* What of the library has result sites, where programs of ours may execute instructions, too? */
static bool look_at(struct subject *subject, const char *library, bool may_execute)
{
	_cleanup_close_ int fd = open(library, O_RDONLY | O_CLOEXEC);
	struct survey_question question = { .use_result_sites = true, .may_execute = may_execute };
	struct dhat_error err = { 0 };

	subject->path = realpath(library, NULL);
	question.path = subject->path;
	if (fd < 0 || !subject->path || survey_make(fd, &question, &subject->survey, &err) < 0) {
		printf("%s: %s\n", library, *err.message ? err.message : strerror(errno));
		return false;
	}
	for (size_t i = 0; i < subject->survey->allocators.count; i++) {
		const struct site *site = &subject->survey->allocators.list[i];

		if (site->returns != SITE_RETURNS_RESULTS)
			continue;
		if (!callee_of(site->function)) {
			printf("%s has result sites, and nobody has said how it is called\n",
			       site->function);
			return false;
		}
		subject->names[subject->count++] = callee_of(site->function)->name;
	}
	return true;
}

/* Are there places among them that the kernel would step, and that are ours? */
static bool executes(const struct subject *subject)
{
	for (size_t i = 0; i < subject->survey->allocators.count; i++) {
		const struct site *site = &subject->survey->allocators.list[i];

		for (size_t k = 0; k < site->result_count; k++)
			if (site->results[k].by_us.operation)
				return true;
	}
	return false;
}

static bool has(const struct subject *subject, const char *name)
{
	for (size_t i = 0; i < subject->count; i++)
		if (!strcmp(subject->names[i], name))
			return true;
	return false;
}

static bool judge(struct subject *subject, const char *library, bool is_libc, bool may_execute)
{
	static const char without_caches[] = "glibc.malloc.tcache_count=0",
			  one_arena[] = "glibc.malloc.arena_max=1";
	static const struct setting settings[] = {
		{ .name = "as it is" },
		{ .name = "short of memory", .is_short_of_memory = true },
		{ "without thread caches", without_caches, .is_libcs = true },
		{ "without thread caches, short of memory", without_caches,
		  .is_short_of_memory = true, .is_libcs = true },
		{ "with one arena", one_arena, .is_libcs = true },
		{ .name = "as it is", .runs_at_once = true },
		{ .name = "short of memory", .is_short_of_memory = true, .runs_at_once = true },
		{ "without thread caches", without_caches, .is_libcs = true, .runs_at_once = true },
		{ "with one arena", one_arena, .is_libcs = true, .runs_at_once = true },
	};
	bool is_right = look_at(subject, library, may_execute);

	subject->preload = is_libc ? NULL : subject->path;
	if (is_right && is_libc && !has(subject, "malloc")) {
		printf("%s: malloc has no result sites\n", library);
		return false;
	}
	if (!is_right)
		return false;
	if (!subject->count) {
		printf("# nothing of it has result sites\n");
		return true;
	}
	if (may_execute && !executes(subject))
		return true; /* the same once more */
	if (may_execute)
		printf("# where programs of dhatd's execute instructions:\n");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if ((is_libc || !settings[i].is_libcs) &&
		    !(may_execute && settings[i].runs_at_once))
			is_right &= run(subject, &settings[i]);
	return is_right;
}

/* ---- copies --------------------------------------------------------------------------------- */

static char folder[] = "/tmp/result_judge.XXXXXX";

static void remove_file(const char *name)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", folder, name) > 0)
		unlink(path);
}

static void remove_folder(void)
{
	remove_file("libc.so.6");
	remove_file("ld-linux-x86-64.so.2");
	remove_file("library.so");
	rmdir(folder);
}

/* The caller frees; NULL: it could not be copied. */
static char *copy(const char *from, const char *name)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int out = -1;
	char block[65536];
	ssize_t n = -1;

	if (asprintf(&path, "%s/%s", folder, name) < 0)
		return NULL;
	unlink(path);
	out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	while (in >= 0 && out >= 0 && (n = read(in, block, sizeof(block))) > 0)
		if (write(out, block, n) != n)
			return NULL;
	if (n == 0)
		return take_ptr(path);
	printf("%s cannot be copied: %s\n", from, strerror(errno));
	return NULL;
}

/* libc: the folder of the C library that it is to run with; NULL: this machine's. */
static bool judge_library(const char *original, const char *libc)
{
	_cleanup_(subject_deinit) struct subject subject = { .folder = libc },
						 executing = { .folder = libc };
	_cleanup_free_ char *library = copy(original, "library.so"), *loader = NULL;

	if (libc && asprintf(&loader, "%s/ld-linux-x86-64.so.2", libc) < 0)
		return false;
	subject.loader = executing.loader = loader;
	printf("# %s:\n", original);
	return library && judge(&subject, library, false, false) &&
	       judge(&executing, library, false, true);
}

static bool judge_libc(const char *original, const char *its_loader)
{
	_cleanup_(subject_deinit) struct subject subject = { .folder = folder },
						 executing = { .folder = folder };
	_cleanup_free_ char *library = copy(original, "libc.so.6");
	_cleanup_free_ char *loader = copy(its_loader, "ld-linux-x86-64.so.2");

	printf("# %s:\n", original);
	subject.loader = executing.loader = loader;
	return library && loader && judge(&subject, library, true, false) &&
	       judge(&executing, library, true, true);
}

static bool judge_libc_in(const char *from)
{
	_cleanup_free_ char *library = NULL, *loader = NULL;

	return asprintf(&library, "%s/libc.so.6", from) > 0 &&
	       asprintf(&loader, "%s/ld-linux-x86-64.so.2", from) > 0 &&
	       judge_libc(library, loader);
}

static const char *own_libc(void)
{
	static char path[4096];
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };

	if (procmaps_read(getpid(), &maps) < 0)
		return NULL;
	for (size_t i = 0; i < maps.count; i++)
		if (strstr(maps.entries[i].path, "/libc.so"))
			snprintf(path, sizeof(path), "%s", maps.entries[i].path);
	return path;
}

static bool judge_what_is_there(void)
{
	static const char *const others[] = {
		"/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
		"/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4",
		"/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
		"/usr/lib/x86_64-linux-gnu/libmimalloc.so.2",
	};
	bool is_right = judge_libc(own_libc(), "/lib64/ld-linux-x86-64.so.2");

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (access(others[i], R_OK) == 0)
			is_right &= judge_library(others[i], NULL);
	return is_right;
}

int main(int argc, char **argv)
{
	char **words = argv + 1, **given;
	const char *libc = NULL;
	bool is_right = true;

	if (argc > 4 && !strcmp(argv[1], "--child"))
		return child(argv + 2);
	snprintf(seed, sizeof(seed), "%ld", (long)getpid());
	for (; words[0] && words[1]; words += 2)
		if (!strcmp(words[0], "--seed"))
			snprintf(seed, sizeof(seed), "%s", words[1]);
		else if (!strcmp(words[0], "--calls"))
			snprintf(calls_wanted, sizeof(calls_wanted), "%s", words[1]);
		else
			break;
	given = words;
	if (!mkdtemp(folder))
		return 1;
	atexit(remove_folder);
	if (words[0] && words[1] && !strcmp(words[0], "--libc")) {
		libc = words[1];
		words += 2;
	}
	if (!*words)
		is_right = libc ? judge_libc_in(libc) : judge_what_is_there();
	for (; *words; words++)
		is_right &= judge_library(*words, libc);
	printf("# to repeat it: %s --calls %s --seed %s", argv[0], calls_wanted, seed);
	for (words = given; *words; words++)
		printf(" %s", *words);
	printf("\n");
	return !is_right;
}
