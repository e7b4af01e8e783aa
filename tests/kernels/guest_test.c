/* guest_test: does dhatd give exact numbers on this kernel, and the stacks that it gives on others?
 *
 * guest_test BUILD --write FILE | --compare FILE
 *
 * Profiles kernel_sample from its start and by attaching, with every kind of probe link. Each must
 * have the numbers that follow from the sample's source, and each profile must be the same text:
 * --write keeps it, --compare holds it against one that was written on another kernel.
 * Prints "ok NAME" or "FAIL NAME: why" for each check.
 *
 * What the BPF side relies on was tried on Debian's 6.1.192, 6.12.117, 6.18.15 and 7.3.4 and on
 * 6.18.44 without kprobes: task storage and bpf_find_vma in uprobe programs, bpf_loop, arrays of
 * different length behind one outer map (only with BPF_F_INNER_MAP, and with the flags of the
 * prototype: EINVAL otherwise), tp_btf on exec and fork. Not everywhere: fentry (6.18.44 answers
 * EPERM), multi links (6.1: EINVAL), session links (6.1, 6.12: EINVAL, though the program loads),
 * and the kfunc bpf_session_is_return, whose prototype has changed by 7.3.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/cleanup.h"
#include "proto/base/error.h"

/* An emulated CPU is 15 times slower, and on a busy host its clock may run ten times faster. */
#define DEADLINE_MS 600000

static char directory[] = "/tmp/guest_test.XXXXXX";
static const char *build;
static int failures;

/* ---- checks -----------------------------------------------------------------------------------
 */

#define check(condition, name, ...)                                                                \
	({                                                                                         \
		bool holds_ = (condition);                                                         \
		printf(holds_ ? "ok %s" : "FAIL %s: ", name);                                      \
		if (!holds_)                                                                       \
			printf(__VA_ARGS__);                                                       \
		printf("\n");                                                                      \
		failures += !holds_;                                                               \
		holds_;                                                                            \
	})

/* What kernel_sample allocates in a function, counted from its source: of each block its full size,
 * of a realloc one more block and the new size. */
static const struct expectation {
	const char *function;
	uint64_t blocks, bytes, live_blocks, live_bytes;
	int frames; /* with this name in the stack; 0: do not count */
} expectations[] = {
	{ "recurse", 1, 100, 1, 100, 51 },
	{ "compare", 1, 48, 0, 0, 1 },
	{ "sort_two", 1, 48, 0, 0, 1 }, /* below qsort */
	{ "on_signal", 1, 300, 1, 300, 1 },
	{ "through_a_signal", 1, 300, 1, 300, 1 }, /* below the signal frame and raise */
	{ "grow", 5, 64 + 128 + 256 + 512 + 1024, 1, 1024, 1 },
	{ "all_functions", 4, 200 + 640 + 1280 + 77, 4, 200 + 640 + 1280 + 77, 1 },
	{ "thread", 100, 50000, 1, 500, 1 },
	{ "churn", 2000, 2 * 500500, 0, 0, 1 },
};

/* ---- processes --------------------------------------------------------------------------------
 */

struct process {
	pid_t pid;
	int in, out; /* pipes to its stdin and from its stdout and stderr; -1: none */
};

static void make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC)) {
		perror("guest_test: pipe");
		exit(1);
	}
}

static struct process start(char *const argv[])
{
	struct process process;
	int in[2], out[2];

	make_pipe(in);
	make_pipe(out);
	fflush(stdout);
	process.pid = fork();
	if (process.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		execv(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	process.in = in[1];
	process.out = out[0];
	return process;
}

static char said[65536]; /* by the process that was waited for last */

/* Read until `word` (NULL: the end) comes. */
static bool wait_for(struct process *process, const char *word)
{
	struct pollfd poller = { .fd = process->out, .events = POLLIN };
	size_t size = 0;
	ssize_t n;

	said[0] = 0;
	while (size < sizeof(said) - 1 && poll(&poller, 1, DEADLINE_MS) == 1) {
		n = read(process->out, said + size, sizeof(said) - 1 - size);
		if (n <= 0)
			return !word;
		size += n;
		said[size] = 0;
		if (word && strstr(said, word))
			return true;
	}
	return false;
}

/* Its exit status; 128 + signal. */
static int end_of(struct process *process)
{
	int status = 0;

	close(process->in);
	waitpid(process->pid, &status, 0);
	close(process->out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- profiles ---------------------------------------------------------------------------------
 */

struct profile {
	struct json_object *root;
	char *text; /* all program points, sorted, without addresses and times */
};

static void profile_deinit(struct profile *profile)
{
	json_object_put(profile->root);
	free(profile->text);
}

static uint64_t number(struct json_object *object, const char *key)
{
	return json_object_get_uint64(json_object_object_get(object, key));
}

/* A frame without its address, which is another one in each process. */
static const char *frame_name(struct json_object *frames, uint64_t index)
{
	const char *text = json_object_get_string(json_object_array_get_idx(frames, index));
	const char *colon = text ? strstr(text, ": ") : NULL;

	return colon ? colon + 2 : text ?: "";
}

static bool frame_is(const char *frame, const char *function)
{
	size_t size = strlen(function);

	return strncmp(frame, function, size) == 0 && (frame[size] == ' ' || frame[size] == 0);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *print_point(struct json_object *point, struct json_object *frames)
{
	static const char *const keys[] = { "tb", "tbk", "mb", "mbk", "gb", "gbk", "eb", "ebk" };
	struct json_object *stack = json_object_object_get(point, "fs");
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		fprintf(out, "%s %lu ", keys[i], number(point, keys[i]));
	for (size_t i = 0; i < json_object_array_length(stack); i++)
		fprintf(out, "\n  %s",
			frame_name(frames,
				   json_object_get_uint64(json_object_array_get_idx(stack, i))));
	fclose(out);
	return text;
}

static char *print_points(struct json_object *root)
{
	struct json_object *points = json_object_object_get(root, "pps");
	struct json_object *frames = json_object_object_get(root, "ftbl");
	size_t count = json_object_array_length(points), size = 0;
	char **lines = calloc(count + 1, sizeof(*lines)), *text = NULL;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; i < count; i++)
		lines[i] = print_point(json_object_array_get_idx(points, i), frames);
	qsort(lines, count, sizeof(*lines), compare_lines);
	for (size_t i = 0; i < count; i++) {
		fprintf(out, "%s\n", lines[i]);
		free(lines[i]);
	}
	free(lines);
	fclose(out);
	return text;
}

static bool profile_read(const char *path, struct profile *ret)
{
	ret->root = json_object_from_file(path);
	if (!ret->root || !json_object_object_get(ret->root, "pps")) {
		printf("# %s: %s\n", path, json_util_get_last_err() ?: "no profile");
		return false;
	}
	ret->text = print_points(ret->root);
	return true;
}

static void check_function(const char *how, const struct profile *profile,
			   const struct expectation *want)
{
	struct json_object *points = json_object_object_get(profile->root, "pps");
	struct json_object *frames = json_object_object_get(profile->root, "ftbl");
	struct expectation got = { 0 };
	char name[96];

	for (size_t i = 0; i < json_object_array_length(points); i++) {
		struct json_object *point = json_object_array_get_idx(points, i);
		struct json_object *stack = json_object_object_get(point, "fs");
		int named = 0;

		for (size_t f = 0; f < json_object_array_length(stack); f++)
			named += frame_is(
				frame_name(frames, json_object_get_uint64(
							   json_object_array_get_idx(stack, f))),
				want->function);
		if (!named)
			continue;
		got.frames = named;
		got.blocks += number(point, "tbk");
		got.bytes += number(point, "tb");
		got.live_blocks += number(point, "ebk");
		got.live_bytes += number(point, "eb");
	}
	snprintf(name, sizeof(name), "%s: %s", how, want->function);
	check(got.blocks == want->blocks && got.bytes == want->bytes &&
		      got.live_blocks == want->live_blocks && got.live_bytes == want->live_bytes &&
		      got.frames == want->frames,
	      name,
	      "%lu blocks, %lu bytes, live %lu and %lu, %d frames; expected %lu, %lu, %lu, %lu, %d",
	      got.blocks, got.bytes, got.live_blocks, got.live_bytes, got.frames, want->blocks,
	      want->bytes, want->live_blocks, want->live_bytes, want->frames);
}

/* The verdict, and that every stack is whole. */
static void check_verdict(const char *how, const struct profile *profile)
{
	struct json_object *about = json_object_object_get(profile->root, "dhatd");
	struct json_object *exact = json_object_object_get(about, "exact");
	char name[96];

	snprintf(name, sizeof(name), "%s: exact", how);
	check(exact && json_object_get_boolean(exact), name, "%s",
	      json_object_to_json_string(about));
}

static void check_profile(const char *how, const struct profile *profile)
{
	check_verdict(how, profile);
	for (size_t i = 0; i < ARRAY_SIZE(expectations); i++)
		check_function(how, profile, &expectations[i]);
}

/* Where two texts differ first. */
static void check_same(const char *name, const char *got, const char *want)
{
	size_t line = 0, at = 0;

	while (got[at] && got[at] == want[at]) {
		at++;
		if (got[at - 1] == '\n')
			line = at;
	}
	check(got[at] == want[at], name, "\nhere:  %.300s\nthere: %.300s", got + line, want + line);
}

/* ---- the ways to profile ----------------------------------------------------------------------
 */

struct paths {
	char dhatd[4096], dhatctl[4096], sample[4096], socket[128], output[128];
};

static struct paths paths_for(const char *how)
{
	struct paths paths;

	snprintf(paths.dhatd, sizeof(paths.dhatd), "%s/dhatd", build);
	snprintf(paths.dhatctl, sizeof(paths.dhatctl), "%s/dhatctl", build);
	snprintf(paths.sample, sizeof(paths.sample), "%s/tests/targets/kernel_sample", build);
	snprintf(paths.socket, sizeof(paths.socket), "%s/%s.sock", directory, how);
	snprintf(paths.output, sizeof(paths.output), "%s/%s.json", directory, how);
	return paths;
}

/* From the first allocation on. link NULL: what dhatd chooses. False: this kernel has no such link.
 */
static bool profile_run(const char *how, char *link, struct profile *ret)
{
	struct paths paths = paths_for(how);
	char *argv[12] = { paths.dhatd, "run", "--socket", paths.socket, "--output", paths.output };
	struct process dhatd;
	int n = 6, status;

	if (link) {
		argv[n++] = "--link";
		argv[n++] = link;
	}
	argv[n++] = "--";
	argv[n++] = paths.sample;
	dhatd = start(argv);
	if (!wait_for(&dhatd, NULL))
		kill(dhatd.pid, SIGKILL);
	status = end_of(&dhatd);
	if (link && status == DHAT_EXIT_UNSUPPORTED && strcmp(link, "perf") != 0) {
		printf("# %s: not in this kernel\n", how);
		return false;
	}
	return check(status == 0 && profile_read(paths.output, ret), how, "exit status %d: %s",
		     status, said);
}

/* Stacks from before the tables are there end early by design; this test wants them whole. */
static void wait_for_tables(struct paths *paths)
{
	for (int tries = 0; tries < 1000; tries++) {
		struct process ctl = start(
			(char *[]){ paths->dhatctl, "status", "--socket", paths->socket, NULL });

		wait_for(&ctl, NULL);
		end_of(&ctl);
		if (strstr(said, " ready, 0 being built") && !strstr(said, " 0 ready"))
			return;
		usleep(100000);
	}
}

static bool profile_attach(const char *how, struct profile *ret)
{
	struct paths paths = paths_for(how);
	struct process sample = start((char *[]){ paths.sample, "wait", NULL }), dhatd;
	char pid[16];
	int status;

	snprintf(pid, sizeof(pid), "%d", sample.pid);
	wait_for(&sample, "ready");
	dhatd = start((char *[]){ paths.dhatd, "attach", "--socket", paths.socket, "--output",
				  paths.output, "--pid", pid, NULL });
	if (!check(wait_for(&dhatd, "attached"), how, "%s", said)) {
		kill(dhatd.pid, SIGKILL);
		kill(sample.pid, SIGKILL);
	} else {
		wait_for_tables(&paths);
		if (write(sample.in, "\n", 1) == 1)
			wait_for(&sample, "done");
	}
	kill(dhatd.pid, SIGTERM); /* detaches from the living target and writes its profile */
	status = end_of(&dhatd);
	check(end_of(&sample) == 0, "attach: the target is unharmed", "it ended otherwise");
	return check(status == 0 && profile_read(paths.output, ret), "attach: profile",
		     "exit status %d", status);
}

/* Where a position-independent program's entry point is in a process that runs it; 0: unknown. */
static uint64_t entry_address(pid_t pid, const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re"), *maps = NULL;
	unsigned long start;
	char name[32], line[512];
	Elf64_Ehdr head;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
	maps = fopen(name, "re");
	if (!file || !maps || fread(&head, sizeof(head), 1, file) != 1 || head.e_type != ET_DYN)
		return 0;
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, path) && sscanf(line, "%lx-", &start) == 1)
			return start + head.e_entry;
	return 0;
}

/* By ptrace: newer kernels let nobody else write to code (CONFIG_PROC_MEM_FORCE_PTRACE). */
static bool put_breakpoint(pid_t pid, uint64_t addr)
{
	bool is_done = false;
	long word;

	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) || waitpid(pid, NULL, __WALL) != pid)
		return false;
	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, pid, (void *)addr, NULL);
	if (!errno)
		is_done = !ptrace(PTRACE_POKETEXT, pid, (void *)addr,
				  (void *)((word & ~0xffL) | 0xcc));
	return !ptrace(PTRACE_DETACH, pid, NULL, NULL) && is_done;
}

/* A breakpoint that serves nobody, as a killed tracer leaves one, is let go. */
static void check_repair(void)
{
	struct paths paths = paths_for("repair");
	struct process sample = start((char *[]){ paths.sample, "wait", NULL }), dhatd;
	uint8_t before = 0, after = 0;
	char pid[16], name[32];
	uint64_t addr;
	int mem;

	wait_for(&sample, "ready");
	snprintf(pid, sizeof(pid), "%d", sample.pid);
	snprintf(name, sizeof(name), "/proc/%d/mem", (int)sample.pid);
	mem = open(name, O_RDONLY | O_CLOEXEC);
	addr = entry_address(sample.pid, paths.sample);
	check(pread(mem, &before, 1, addr) == 1 && put_breakpoint(sample.pid, addr),
	      "repair: a breakpoint at the entry", "%s", strerror(errno));
	dhatd = start((char *[]){ paths.dhatd, "repair", "--pid", pid, NULL });
	check(wait_for(&dhatd, "1 removed"), "repair: says so", "%s", said);
	check(end_of(&dhatd) == 0, "repair: exit status", "not 0");
	check(pread(mem, &after, 1, addr) == 1 && after == before, "repair: removed",
	      "%02x is there, not %02x", after, before);
	close(mem);
	if (write(sample.in, "\n", 1) == 1)
		wait_for(&sample, "done");
	check(end_of(&sample) == 0, "repair: the target is unharmed", "it ended otherwise");
}

static char *read_file(const char *path)
{
	_cleanup_fclose_ FILE *in = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (!in || getdelim(&text, &size, 0, in) < 0) {
		fprintf(stderr, "guest_test: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return text;
}

static void run_all(const char *mode, const char *path)
{
	static char *const links[] = { "perf", "multi", "session" };
	struct profile first = { 0 };

	if (!profile_run("run", NULL, &first))
		return;
	check_profile("run", &first);
	if (strcmp(mode, "--write") == 0) {
		FILE *out = fopen(path, "we");

		check(out && fputs(first.text, out) >= 0 && fclose(out) == 0, "written", "%s",
		      path);
	} else {
		_cleanup_free_ char *expected = read_file(path);

		check_same("the same profile as on the other kernel", first.text, expected);
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		struct profile profile = { 0 };
		char name[64];

		if (profile_run(links[i], links[i], &profile)) {
			snprintf(name, sizeof(name), "%s links: the same profile", links[i]);
			check_same(name, profile.text, first.text);
		}
		profile_deinit(&profile);
	}
	profile_deinit(&first);
}

/* ---- a sample ----------------------------------------------------------------------------------
 */

/* Verifiers leave out what is about samples when there is none: so these are other programs to
 * them. The sample's target is small, and each of its blocks is drawn or not: what is known of the
 * sums is their word, and that nothing was lost. */
static void check_sampled(char *link)
{
	char how[64], name[128];
	struct paths paths;
	struct profile profile = { 0 };
	struct json_object *about;
	struct process dhatd;
	int status;

	snprintf(how, sizeof(how), "sampled-%s", link);
	paths = paths_for(how);
	dhatd = start((char *[]){ paths.dhatd, "run", "--socket", paths.socket, "--output",
				  paths.output, "--link", link, "--sample", "1KiB", "--",
				  paths.sample, NULL });
	if (!wait_for(&dhatd, NULL))
		kill(dhatd.pid, SIGKILL);
	status = end_of(&dhatd);
	if (status == DHAT_EXIT_UNSUPPORTED && strcmp(link, "perf") != 0) {
		printf("# %s: not in this kernel\n", how);
		return;
	}
	snprintf(name, sizeof(name), "%s links, by a sample", link);
	if (!check(status == 0 && profile_read(paths.output, &profile), name, "exit status %d: %s",
		   status, said))
		return;
	about = json_object_object_get(profile.root, "dhatd");
	snprintf(name, sizeof(name), "%s links, by a sample: the word", link);
	check(!strcmp(json_object_get_string(json_object_object_get(about, "verdict")), "sampled"),
	      name, "%s", json_object_to_json_string(about));
	profile_deinit(&profile);
}

/* ---- who holds the blocks ----------------------------------------------------------------------
 */

/* Of pages that their owner made unreadable, too, by /proc/PID/mem: kernels that were built so, or
 * started with proc_mem.force_override=, allow that to debuggers only (Linux 6.12). */
static bool reads_unreadable_memory(void)
{
	size_t bytes = sysconf(_SC_PAGESIZE);
	char *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	bool reads = false;
	char byte;

	if (page != MAP_FAILED) {
		*page = 1;
		mprotect(page, bytes, PROT_NONE);
		reads = pread(fd, &byte, 1, (off_t)(uintptr_t)page) == 1;
		munmap(page, bytes);
	}
	close(fd);
	return reads;
}

/* By registers of threads, which a program of ours reads from the kernel's tasks, and by pages that
 * the kernel tells in one of two ways (PAGEMAP_SCAN from 6.7 on). */
static void check_holds(void)
{
	bool reads = reads_unreadable_memory();
	const char *const expected[] = {
		"held by the registers of thread holders",
		"held by epoll data",
		"held by a timer",
		"held by global tree",
		/* what is held from there only might be called lost else */
		reads ? "blocks are lost: in " : "Nothing is called lost: more than one byte",
		reads ? "in cycles" : "of its memory could not be read",
	};
	struct paths paths = paths_for("holds");
	struct process target, dhatd, ctl;
	char program[4096], pid[16];

	snprintf(program, sizeof(program), "%s/tests/targets/holders", build);
	target = start((char *[]){ program, NULL });
	wait_for(&target, "ready");
	snprintf(pid, sizeof(pid), "%d", target.pid);
	dhatd = start(
		(char *[]){ paths.dhatd, "attach", "--socket", paths.socket, "--pid", pid, NULL });
	if (check(wait_for(&dhatd, "answering"), "holds: attach", "%s", said) &&
	    write(target.in, "make\n", 5) == 5 && wait_for(&target, "made")) {
		ctl = start((char *[]){ paths.dhatctl, "holds", "--socket", paths.socket, "--top",
					"100", NULL });
		/* it says nothing until it says all */
		for (int tries = 0; tries < 5 && !wait_for(&ctl, NULL) && !said[0]; tries++)
			;
		check(end_of(&ctl) == 0, "holds", "%s", said);
		for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
			check(strstr(said, expected[i]), expected[i], "not in:\n%s", said);
	}
	kill(dhatd.pid, SIGTERM);
	end_of(&dhatd);
	kill(target.pid, SIGKILL);
	end_of(&target);
}

/* Blocks and bytes of all stacks that a function is in. */
static void sum_of(const struct profile *profile, const char *function, uint64_t ret[2])
{
	struct json_object *points = json_object_object_get(profile->root, "pps");
	struct json_object *frames = json_object_object_get(profile->root, "ftbl");

	ret[0] = ret[1] = 0;
	for (size_t i = 0; i < json_object_array_length(points); i++) {
		struct json_object *point = json_object_array_get_idx(points, i);
		struct json_object *stack = json_object_object_get(point, "fs");
		bool is_in = false;

		for (size_t f = 0; f < json_object_array_length(stack); f++)
			is_in |= frame_is(
				frame_name(frames, json_object_get_uint64(
							   json_object_array_get_idx(stack, f))),
				function);
		ret[0] += is_in ? number(point, "tbk") : 0;
		ret[1] += is_in ? number(point, "tb") : 0;
	}
}

/* ---- calls that do not end as they began --------------------------------------------------------
 */

/* A number of a program's own book, the last one that it printed in what was said; 0: not there. */
static uint64_t book_number(const char *key)
{
	char name[64];
	const char *at = NULL, *next = said;

	snprintf(name, sizeof(name), "\"%s\":", key);
	while ((next = strstr(next, name)))
		at = next += strlen(name);
	return at ? strtoull(at, NULL, 10) : 0;
}

/* All blocks that were allocated below a function are those of the program's own book. */
static void check_book(const char *how, const char *path, const char *function, uint64_t blocks,
		       uint64_t bytes)
{
	struct profile profile = { 0 };
	uint64_t sums[2];
	char name[64];

	snprintf(name, sizeof(name), "%s: exact", how);
	if (!check(profile_read(path, &profile), how, "no profile: %s", said))
		return;
	sum_of(&profile, function, sums);
	check(blocks > 0 && sums[0] == blocks && sums[1] == bytes, name,
	      "%lu blocks of %lu bytes, not %lu of %lu", sums[0], sums[1], blocks, bytes);
	profile_deinit(&profile);
}

/* By exceptions that operator new throws, and by jumps out of frames that allocate and of allocator
 * calls in which a handler was called: the program ends as it would. */
static void check_left(char *program, char *rounds, const char *function)
{
	struct paths paths = paths_for(program);
	char target[4096];
	struct process dhatd;
	int status;

	snprintf(target, sizeof(target), "%s/tests/targets/%s", build, program);
	dhatd = start((char *[]){ paths.dhatd, "run", "--socket", paths.socket, "--output",
				  paths.output, "--", target, rounds, NULL });
	if (!wait_for(&dhatd, NULL))
		kill(dhatd.pid, SIGKILL);
	status = end_of(&dhatd);
	if (check(status == 0, program, "exit status %d: %s", status, said) && function)
		check_book(program, paths.output, function, book_number("total_blocks"),
			   book_number("total_bytes"));
}

/* A filter lets nothing pass but what an allocator needs: not the call of a return probe either. */
static void check_confined(char *filter)
{
	char program[4096], pid[16], how[64];
	struct paths paths = paths_for(filter);
	struct process target, dhatd;
	uint64_t blocks, bytes;

	snprintf(how, sizeof(how), "confined (%s)", filter);
	snprintf(program, sizeof(program), "%s/tests/targets/seccomp", build);
	target = start((char *[]){ program, filter, "400", NULL });
	wait_for(&target, "confined");
	snprintf(pid, sizeof(pid), "%d", target.pid);
	dhatd = start((char *[]){ paths.dhatd, "attach", "--socket", paths.socket, "--output",
				  paths.output, "--pid", pid, NULL });
	check(wait_for(&dhatd, "answering"), how, "%s", said);
	wait_for_tables(&paths);
	if (write(target.in, "\n", 1) != 1 || !wait_for(&target, "total_bytes"))
		said[0] = 0;
	blocks = book_number("total_blocks");
	bytes = book_number("total_bytes");
	kill(dhatd.pid, SIGTERM);
	wait_for(&dhatd, NULL);
	end_of(&dhatd);
	check_book(how, paths.output, "take_block", blocks, bytes);
	check(end_of(&target) == 0, how, "the target ended otherwise");
}

/* ---- instructions that we execute --------------------------------------------------------------
 */

/* From 6.19 on programs may write registers. By the version: what dhatd finds out by trying is held
 * against that, so that a kernel that is otherwise surprises nobody. */
static bool writes_registers(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%u.%u", &major, &minor);
	return major > 6 || (major == 6 && minor >= 19);
}

/* Has the kernel mapped its page for single steps and return probes? */
static bool has_uprobes_page(pid_t pid)
{
	_cleanup_fclose_ FILE *maps = NULL;
	char name[32], line[512];
	bool has_page = false;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
	maps = fopen(name, "re");
	while (maps && fgets(line, sizeof(line), maps))
		has_page |= strstr(line, "[uprobes]") != NULL;
	return has_page;
}

static struct process watch_executed(struct paths *paths, char *pid)
{
	static char take[] = "executed:take(size=arg1)", give[] = "executed:give(ptr=arg1)";
	struct process dhatd = start((char *[]){ paths->dhatd, "attach", "--socket", paths->socket,
						 "--output", paths->output, "--alloc", take,
						 "--free", give, "--pid", pid, NULL });

	check(wait_for(&dhatd, "answering"), "executed: attach", "%s", said);
	return dhatd;
}

/* All of it, by each of two dhatds; the target has not noticed. */
static void check_executed_sums(const char *how, struct process *dhatd, struct paths *paths,
				uint64_t blocks, uint64_t bytes)
{
	kill(dhatd->pid, SIGTERM);
	wait_for(dhatd, NULL);
	end_of(dhatd);
	check_book(how, paths->output, "take_and_give", blocks, bytes);
}

static bool play(struct process *target, uint64_t *ret_blocks, uint64_t *ret_bytes)
{
	const char *at;

	if (write(target->in, "\n", 1) != 1 || !wait_for(target, " bytes\n"))
		return false;
	at = strstr(said, "took ");
	return at && sscanf(at, "took %lu blocks of %lu", ret_blocks, ret_bytes) == 2;
}

/* An allocator at whose entries and exits the kernel emulates nothing. */
static void check_executed(void)
{
	struct paths first_paths = paths_for("first"), second_paths = paths_for("second");
	const char *expected = writes_registers() ? "by dhatd" : "STEPPED";
	uint64_t blocks = 0, bytes = 0;
	struct process target, first, second, ctl;
	char program[4096], pid[16];

	snprintf(program, sizeof(program), "%s/tests/targets/executed", build);
	target = start((char *[]){ program, NULL });
	wait_for(&target, "ready");
	snprintf(pid, sizeof(pid), "%d", target.pid);
	first = watch_executed(&first_paths, pid);
	ctl = start(
		(char *[]){ first_paths.dhatctl, "status", "--socket", first_paths.socket, NULL });
	wait_for(&ctl, NULL);
	end_of(&ctl);
	check(strstr(said, expected), "executed: says by whom", "no \"%s\" in %s", expected, said);
	check(play(&target, &blocks, &bytes), "executed: all instructions are right", "%s", said);
	check(has_uprobes_page(target.pid) != writes_registers(),
	      "executed: the kernel's page is mapped only where it is needed", "it is otherwise");
	check_executed_sums("executed by one", &first, &first_paths, blocks, bytes);
	/* each runs its programs before the kernel looks where the thread is */
	first = watch_executed(&first_paths, pid);
	second = watch_executed(&second_paths, pid);
	check(play(&target, &blocks, &bytes), "executed, two dhatds: instructions are right", "%s",
	      said);
	check_executed_sums("executed by two, the first", &first, &first_paths, blocks, bytes);
	check_executed_sums("executed by two, the second", &second, &second_paths, blocks, bytes);
	check(play(&target, &blocks, &bytes), "executed: right when they have left", "%s", said);
	check(end_of(&target) == 0, "executed: the target is unharmed", "it ended otherwise");
}

int main(int argc, char **argv)
{
	struct profile attached = { 0 };

	if (argc != 4) {
		fprintf(stderr, "usage: guest_test BUILD --write|--compare FILE\n");
		return 2;
	}
	build = argv[1];
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!mkdtemp(directory)) {
		perror(directory);
		return 1;
	}
	run_all(argv[2], argv[3]);
	if (profile_attach("attach", &attached))
		check_profile("attach", &attached);
	check_sampled("perf");
	check_sampled("multi");
	check_sampled("session");
	check_repair();
	check_holds();
	check_left("exceptions", "60", NULL); /* it counts what it has caught */
	check_left("jumps", "100", "main");
	check_confined("list");
	check_confined("strict");
	check_executed();
	profile_deinit(&attached);
	return failures > 0;
}
