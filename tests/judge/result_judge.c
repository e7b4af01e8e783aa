/* result_judge: are result sites what they are taken for? Asked of the processor.
 *
 *   result_judge [--seed N] [LIBRARY...]     the C library, and allocators that are installed, if
 *                                            none is named
 *   result_judge [--seed N] --libc DIR       another C library, by its own dynamic loader
 *
 * A child calls malloc and calloc with random sizes, frees in between, in its first thread and in
 * another one, with and without glibc's thread caches, and sizes that nobody can have. It stops at
 * each result site, and behind each call. For each call that has returned a block exactly one site
 * was passed at which that block was known, with the size that was asked for, the return address
 * and the caller's frame pointer; for each that has failed none; and what was begun has ended.
 * A call may pass one entry instead, with the size and its return address on top of the stack.
 * In a run of its own memory becomes short when the second thread begins: calls fail that others do
 * not, or find something in the first thread's arena after all.
 *
 * What is called is the seed's doing, and addresses are not random: a run can be repeated.
 *
 * The libraries are copied before: who probes the same file elsewhere on this machine, and lets go
 * of that, would take our breakpoints for his.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/dhat_abi.h"
#include "daemon/object/sites/surveyor.h"
#include "daemon/proc/procmaps.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

#define CALLS 16000 /* of a run; there are several for each library */
#define MAX_PLACES 256

/* ---- the child ------------------------------------------------------------------------------ */

/* judge_call(function, first, second, is_product): behind the call rax is the result, and the
 * registers that a function keeps hold what it was called with. */
void *judge_call(void *function, size_t first, size_t second, size_t is_product);
extern const char judge_behind[];
__asm__(".text\n.globl judge_call, judge_behind\njudge_call:\n"
	"push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n"
	"mov %rdi,%rax\n mov %rsi,%rbx\n mov %rdx,%r12\n mov %rcx,%r13\n"
	"lea (%rbx,%r12,2),%rbp\n mov %rbx,%rdi\n mov %r12,%rsi\n call *%rax\n"
	"judge_behind: nop\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state =
		random_state * 6364136223846793005ull + 1442695040888963407ull; /* Knuth, MMIX */
	return random_state >> 20;
}

/* Mostly small; now and then a mapping of its own, and more than there is. */
static size_t random_size(void)
{
	switch (next_random() % 64) {
	case 0:
		return next_random() % (1 << 20);
	case 1:
		return SIZE_MAX / 2 + next_random() % 4096; /* refused at once */
	case 2:
		return (1ull << 46) + next_random(); /* refused by the kernel */
	case 3 ... 12:
		return next_random() % 8192;
	default:
		return next_random() % 200;
	}
}

static bool does_malloc, does_calloc; /* those that have result sites are called */

#define HELD 512

static void *call_much(void *count_)
{
	void *held[HELD] = { NULL };
	size_t count = *(size_t *)count_;

	for (size_t i = 0; i < count; i++) {
		size_t slot = next_random() % HELD, size = random_size();
		bool is_product = does_calloc && (!does_malloc || next_random() % 3 == 0);
		size_t times = is_product ? 1 + next_random() % 5 : 0;

		free(held[slot]);
		held[slot] = judge_call(is_product ? (void *)calloc : (void *)malloc, size, times,
					is_product);
	}
	for (size_t i = 0; i < HELD; i++)
		free(held[i]);
	return NULL;
}

/* Half way, when the thread has an arena of its own: no heap grows any more, nor is there another.
 * What is free in one that there is has to do. */
static void *call_much_in_need(void *count_)
{
	/* not 0: the kernel takes that for no limit, since Valgrind once set it */
	static const struct rlimit none = { .rlim_cur = 1, .rlim_max = RLIM_INFINITY };
	size_t half = *(size_t *)count_ / 2;

	call_much(&half);
	return setrlimit(RLIMIT_DATA, &none) ? NULL : call_much(&half);
}

/* calls: an m for malloc, a c for calloc, an s if memory becomes short. */
static int child(const char *seed, const char *calls)
{
	size_t count = CALLS / 2;
	pthread_t thread;

	random_state = strtoull(seed, NULL, 10);
	does_malloc = strchr(calls, 'm');
	does_calloc = strchr(calls, 'c');
	raise(SIGTRAP); /* breakpoints are placed now */
	call_much(&count);
	if (pthread_create(&thread, NULL, strchr(calls, 's') ? call_much_in_need : call_much,
			   &count))
		return 1;
	pthread_join(thread, NULL);
	return 0;
}

/* ---- places --------------------------------------------------------------------------------- */

struct place {
	uint64_t addr;
	uint8_t byte; /* what the code has there */
	struct site_result result;
	bool is_behind;
};

struct call {
	bool has_begun;
	uint64_t saved, address, size, frame;
	unsigned told, entered;
};

struct judge {
	pid_t pid;
	struct place places[MAX_PLACES];
	size_t count;
	uint64_t behind; /* where judge_call() is returned to */
	struct call call;
	uint64_t calls, blocks, failures, begun, entered;
	const char *wrong;
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
				    (word & ~0xffl) | (is_break ? 0xcc : place->byte)) == 0;
}

static bool arm(struct judge *j)
{
	for (size_t i = 0; i < j->count; i++) {
		errno = 0;
		j->places[i].byte = ptrace(PTRACE_PEEKTEXT, j->pid, j->places[i].addr, 0L);
		if (errno || !write_code(j->pid, &j->places[i], true))
			return false;
	}
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

static void see_entry(struct judge *j, const struct site_result *result,
		      const struct user_regs_struct *regs)
{
	j->call.entered++;
	j->call.size = register_of(regs, result->size_reg);
	j->entered++;
	if (result->sp_words || result->condition)
		j->wrong = "no return probe may be there";
}

static void see_result(struct judge *j, const struct site_result *result,
		       const struct user_regs_struct *regs, pid_t tid)
{
	struct call *call = &j->call;
	uint64_t address = register_of(regs, result->address_reg);
	uint64_t return_address =
		ptrace(PTRACE_PEEKDATA, tid, regs->rsp + 8ul * result->sp_words, 0L);

	if (return_address != j->behind)
		return; /* what the C library needs for the thread */
	if (result->condition && !holds(regs, result->condition - 1))
		return;
	switch (result->kind) {
	case SITE_RESULT_ENTRY:
		see_entry(j, result, regs);
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

static void see_end(struct judge *j, const struct user_regs_struct *regs)
{
	const struct call *call = &j->call;
	uint64_t size = regs->r13 ? regs->rbx * regs->r12 : regs->rbx;

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
	j->call = (struct call){ 0 };
}

static struct place *place_of(struct judge *j, uint64_t addr)
{
	for (size_t i = 0; i < j->count; i++)
		if (j->places[i].addr == addr)
			return &j->places[i];
	return NULL;
}

/* A thread has run into a breakpoint: look, and let it do what the code says there. */
static bool see(struct judge *j, pid_t tid)
{
	struct user_regs_struct regs;
	struct place *place;
	int status;

	if (ptrace(PTRACE_GETREGS, tid, 0L, &regs) < 0)
		return false;
	place = place_of(j, --regs.rip);
	if (!place)
		return false;
	if (place->is_behind)
		see_end(j, &regs);
	else
		see_result(j, &place->result, &regs, tid);
	if (j->wrong)
		printf("%s: site at 0x%" PRIx64 ", call of %" PRIu64 " x %" PRIu64 "\n", j->wrong,
		       (uint64_t)regs.rip, (uint64_t)regs.rbx, (uint64_t)regs.r12);
	return ptrace(PTRACE_SETREGS, tid, 0L, &regs) == 0 && write_code(tid, place, false) &&
	       ptrace(PTRACE_SINGLESTEP, tid, 0L, 0L) == 0 &&
	       waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status) &&
	       write_code(tid, place, true);
}

/* ---- a run ---------------------------------------------------------------------------------- */

struct subject {
	char *path;		     /* of the library */
	const char *preload;	     /* NULL: it is there anyway */
	const char *loader, *folder; /* NULL: the system's */
	char calls[4];		     /* "m", "c", "mc": see child() */
	struct survey *survey;
};

struct setting {
	const char *name, *tunables;
	bool is_short_of_memory, is_libcs; /* is_libcs: for no other allocator */
};

static void start(const struct subject *subject, const char *seed, const struct setting *setting)
{
	char *self = realpath("/proc/self/exe", NULL),
	     *loader = without_qualifiers(subject->loader), calls[8];
	char *argv[] = { loader,
			 without_qualifiers("--library-path"),
			 without_qualifiers(subject->folder),
			 self,
			 without_qualifiers("--child"),
			 without_qualifiers(seed),
			 calls,
			 NULL };

	snprintf(calls, sizeof(calls), "%s%s", subject->calls,
		 setting->is_short_of_memory ? "s" : "");

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
		tid = waitpid(-1, &status, __WALL);
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
	bool is_right;
	int status;

	j->pid = fork();
	if (j->pid == 0)
		start(subject, seed, setting);
	is_right = watch(j, subject->path, subject->survey);
	if (!is_right) {
		kill(j->pid, SIGKILL);
		while (waitpid(-1, &status, __WALL) > 0)
			;
	}
	is_right &= j->calls == CALLS / 2 * 2;
	printf("# %s (%s)%s%s: %" PRIu64 " calls, %" PRIu64 " blocks, %" PRIu64 " failed, %" PRIu64
	       " begun, %" PRIu64 " entered: %s\n",
	       subject->path, subject->calls, *setting->name ? ", " : "", setting->name, j->calls,
	       j->blocks, j->failures, j->begun, j->entered, is_right ? "right" : "WRONG");
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
		if (!strcmp(site->function, "malloc"))
			strcat(subject->calls, "m");
		else if (!strcmp(site->function, "calloc"))
			strcat(subject->calls, "c");
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

static bool judge(struct subject *subject, const char *library, bool is_libc, bool may_execute)
{
	static const struct setting settings[] = {
		{ .name = "" },
		{ .name = "short of memory", .is_short_of_memory = true },
		{ "without thread caches", "glibc.malloc.tcache_count=0", .is_libcs = true },
		{ "without thread caches, short of memory", "glibc.malloc.tcache_count=0",
		  .is_short_of_memory = true, .is_libcs = true },
		{ "with one arena", "glibc.malloc.arena_max=1", .is_libcs = true },
	};
	bool is_right = look_at(subject, library, may_execute);

	subject->preload = is_libc ? NULL : subject->path;
	if (is_right && is_libc && !strchr(subject->calls, 'm')) {
		printf("%s: malloc has no result sites\n", library);
		return false;
	}
	if (!*subject->calls) {
		printf("# %s: neither malloc nor calloc has result sites\n", library);
		return is_right;
	}
	if (may_execute && !executes(subject))
		return is_right; /* the same once more */
	if (may_execute)
		printf("# where programs of dhatd's execute instructions:\n");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (is_libc || !settings[i].is_libcs)
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

static bool judge_library(const char *original)
{
	_cleanup_(subject_deinit) struct subject subject = { 0 }, executing = { 0 };
	_cleanup_free_ char *library = copy(original, "library.so");

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
			is_right &= judge_library(others[i]);
	return is_right;
}

int main(int argc, char **argv)
{
	char **words = argv + 1, **given;
	bool is_right = true;

	if (argc == 4 && !strcmp(argv[1], "--child"))
		return child(argv[2], argv[3]);
	snprintf(seed, sizeof(seed), "%ld", (long)getpid());
	if (argc >= 3 && !strcmp(argv[1], "--seed")) {
		snprintf(seed, sizeof(seed), "%s", argv[2]);
		words += 2;
	}
	given = words;
	if (!mkdtemp(folder))
		return 1;
	atexit(remove_folder);
	if (!*words)
		is_right = judge_what_is_there();
	else if (!strcmp(*words, "--libc") && words[1])
		is_right = judge_libc_in(words[1]);
	else
		for (; *words; words++)
			is_right &= judge_library(*words);
	printf("# to repeat it: %s --seed %s", argv[0], seed);
	for (words = given; *words; words++)
		printf(" %s", *words);
	printf("\n");
	return !is_right;
}
