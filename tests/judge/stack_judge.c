/* stack_judge: are the stacks that our unwinder walks those that a debugger shows?
 *
 *   stack_judge [-n SAMPLES] [-s SKIP] [-v] [-l FILE] [NAME | PROGRAM ARG...]
 *
 * Runs a program under ptrace and stops it at random calls of its allocator. There, on the very
 * same registers and memory, bpf/unwind.h (compiled as plain C, with tables of cfi_build()) and
 * libdw's unwinder (dwfl_getthread_frames) each walk the stack, and every frame's address is
 * compared. NAME: one of the programs below; without: all of them. Exit 1 when less than 99.5 %
 * of a program's stacks are equal, or less than 99 % complete.
 *
 * -s: up to so many calls go unsampled after each sample (100).
 * -l: for dhatd, live. Lets the program begin (and load what it loads), stops it in an allocator
 * call, prints its pid and waits for a line on stdin, so that dhatd can be attached. Then writes
 * libdw's stacks to FILE, one a line, the allocator's caller first; says "done", with that thread
 * stopped, and waits for a line again.
 */
#include <elfutils/libdwfl.h>
#include <gelf.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "proto/base/cleanup.h"
#include "tests/unit/memory_file.h"
#include "tests/unit/unwind_host.h"
#include "tracee.h"

#define MAX_FRAMES 4096 /* of libdw's */
#define MAX_OBJECTS 256 /* of one program */
#define MAPS_BYTES (1 << 20)

static struct tracee tracee;

static int host_copy(void *dst, uint32_t size, uint64_t addr)
{
	return tracee_read(&tracee, dst, size, addr);
}

/* ---- what the program maps ---------------------------------------------------------------- */

struct object {
	uint64_t dev, inode;
	struct cfi_table *table;
};

static struct object objects[MAX_OBJECTS];
static size_t object_count;
static char maps[MAPS_BYTES], code_maps[MAPS_BYTES], known_maps[MAPS_BYTES];
static Dwfl *dwfl;

/* Run-time address - link-time address, of code at this offset of the file. */
static uint64_t bias_of(int fd, uint64_t start, uint64_t file_offset)
{
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	uint64_t bias = start - file_offset;
	size_t i, count = 0;
	GElf_Phdr phdr;

	elf_getphdrnum(elf, &count);
	for (i = 0; i < count && gelf_getphdr(elf, (int)i, &phdr); i++) {
		if (phdr.p_type == PT_LOAD && (phdr.p_flags & PF_X) &&
		    file_offset + 4095 >= phdr.p_offset &&
		    file_offset < phdr.p_offset + phdr.p_filesz)
			bias = start - (phdr.p_vaddr + (file_offset - phdr.p_offset));
	}
	elf_end(elf);
	return bias;
}

static struct cfi_table *table_of(int fd, uint64_t dev, uint64_t inode)
{
	struct object *object;
	size_t i;

	for (i = 0; i < object_count; i++) {
		if (objects[i].dev == dev && objects[i].inode == inode)
			return objects[i].table;
	}
	if (object_count == MAX_OBJECTS)
		return NULL;
	object = &objects[object_count++];
	*object = (struct object){ dev, inode, NULL };
	cfi_build(fd, 16 << 20, &object->table, NULL);
	return object->table;
}

static struct cfi_table *vdso_table(uint64_t start, uint64_t end)
{
	static struct cfi_table *table; /* the same in all programs */
	_cleanup_free_ void *image = malloc(end - start);
	_cleanup_close_ int fd = -1;

	if (!table && image && tracee_read(&tracee, image, end - start, start) == 0)
		fd = memory_file(image, end - start);
	if (fd >= 0)
		cfi_build(fd, 10000, &table, NULL);
	return table;
}

static void map_line(const char *line)
{
	uint64_t start, end, offset, inode;
	_cleanup_close_ int fd = -1;
	unsigned int major, minor;
	struct cfi_table *table;
	char path[96];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %x:%x %" SCNu64, &start, &end,
		   &offset, &major, &minor, &inode) != 6)
		return;
	if (strstr(line, "[vdso]")) {
		host_map(start, end, start, vdso_table(start, end));
		return;
	}
	if (!inode)
		return; /* code of no file */
	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, tracee.pid, start,
		 end);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	table = fd < 0 ? NULL : table_of(fd, makedev(major, minor), inode);
	host_map(start, end, table ? bias_of(fd, start, offset) : 0, table);
}

/* Only the lines of code: the heap's change all the time. */
static void read_maps(void)
{
	char path[32], *line, *next;
	size_t used = 0, size;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", tracee.pid);
	file = fopen(path, "re");
	size = file ? fread(maps, 1, sizeof(maps) - 1, file) : 0;
	if (file)
		fclose(file);
	maps[size] = 0;
	for (line = maps; *line; line = next) {
		next = strchrnul(line, '\n');
		next += *next != 0;
		if (memchr(line, 'x', strcspn(line, "\n") < 32 ? strcspn(line, "\n") : 32)) {
			memcpy(code_maps + used, line, (size_t)(next - line));
			used += (size_t)(next - line);
		}
	}
	code_maps[used] = 0;
}

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_linux_proc_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
};

/* Both unwinders learn what is mapped, if that has changed. */
static int learn_maps(void)
{
	char *line, *next;

	read_maps();
	if (strcmp(code_maps, known_maps) == 0)
		return 0;
	memcpy(known_maps, code_maps, strlen(code_maps) + 1);
	host_reset();
	for (line = code_maps; *line; line = next) {
		next = strchrnul(line, '\n');
		if (*next)
			*next++ = 0;
		map_line(line);
	}
	if (dwfl)
		dwfl_end(dwfl);
	dwfl = dwfl_begin(&callbacks);
	if (dwfl_linux_proc_report(dwfl, tracee.pid) != 0 ||
	    dwfl_report_end(dwfl, NULL, NULL) != 0 ||
	    dwfl_linux_proc_attach(dwfl, tracee.pid, true) < 0) {
		printf("libdwfl: %s\n", dwfl_errmsg(-1));
		return -EIO;
	}
	return 0;
}

static void forget_program(void)
{
	while (object_count)
		cfi_table_free(objects[--object_count].table);
	known_maps[0] = 0;
	dwfl_end(dwfl);
	dwfl = NULL;
}

/* ---- places ------------------------------------------------------------------------------- */

#define PLACE_REALLOC 2
static const char *const place_names[TRACEE_PLACES] = { "malloc", "calloc", "realloc",
							"posix_memalign" };

static int find_in_module(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base,
			  void *data)
{
	int i, number, count = dwfl_module_getsymtab(module);
	const char *symbol;
	GElf_Addr addr;
	GElf_Sym sym;

	for (i = 1; i < count; i++) {
		symbol = dwfl_module_getsym_info(module, i, &sym, &addr, NULL, NULL, NULL);
		if (!symbol || sym.st_shndx == SHN_UNDEF || GELF_ST_TYPE(sym.st_info) != STT_FUNC)
			continue;
		for (number = 0; number < TRACEE_PLACES; number++) {
			if (!strcmp(symbol, place_names[number]) && !strstr(name, "/ld-linux"))
				tracee.places[number] = addr;
		}
	}
	return DWARF_CB_OK;
}

/* ---- two walks ---------------------------------------------------------------------------- */

struct walk {
	uint64_t pcs[MAX_FRAMES];
	bool is_exact[MAX_FRAMES];
	size_t count;
	size_t gap, gap_end; /* [gap, gap_end): frames that were not kept */
	bool is_whole;
	char error[96];
};

static int add_frame(Dwfl_Frame *frame, void *data)
{
	struct walk *walk = data;
	Dwarf_Addr pc;

	if (walk->count == MAX_FRAMES || !dwfl_frame_pc(frame, &pc, &walk->is_exact[walk->count]))
		return DWARF_CB_ABORT;
	walk->pcs[walk->count++] = pc;
	return DWARF_CB_OK;
}

static void walk_libdw(pid_t tid, struct walk *walk)
{
	walk->count = 0;
	walk->error[0] = 0;
	walk->is_whole = dwfl_getthread_frames(dwfl, tid, add_frame, walk) == 0;
	if (!walk->is_whole)
		snprintf(walk->error, sizeof(walk->error), "%s", dwfl_errmsg(-1) ?: "aborted");
}

static int walk_ours(pid_t tid, struct walk *walk)
{
	struct user_regs_struct regs;
	uint64_t caller, frame;
	size_t i, kept, count;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) < 0 ||
	    tracee_read(&tracee, &caller, 8, regs.rsp) < 0)
		return -ESRCH;
	host_unwind(caller, regs.rsp + 8, regs.rbp, false);
	kept = dhat_kept_frames(host_scratch.frame_count, host_scratch.stop);
	count = host_scratch.stop == DHAT_STOP_TOO_DEEP ? kept : host_scratch.frame_count;
	walk->pcs[0] = regs.rip; /* as libdw: the allocator first */
	walk->is_exact[0] = true;
	walk->count = 1;
	walk->gap = 1 + DHAT_INNER_FRAMES;
	walk->gap_end = walk->gap + count - kept;
	for (i = 0; i < count; i++) {
		frame = host_scratch.frames[dhat_frame_slot(i)];
		walk->is_exact[walk->count] = frame & DHAT_FRAME_EXACT_PC;
		walk->pcs[walk->count++] = frame & ~DHAT_FRAME_EXACT_PC;
	}
	return 0;
}

/* ---- comparing ---------------------------------------------------------------------------- */

enum outcome {
	EQUAL,
	EQUAL_ENDS,	/* and equally deep; the middle is not kept */
	EQUAL_TOO_DEEP, /* equal as far as ours is kept: 63 frames */
	LIBDW_FAILED,	/* ours goes on where libdw says that it cannot */
	OURS_STOPPED,	/* libdw goes on where ours says why it cannot */
	LIBDW_GUESSED,	/* ours is at the marked end, libdw goes on without any rule */
	DIFFERENT,
	OUTCOME_COUNT
};

static const char *const outcome_names[OUTCOME_COUNT] = {
	"equal",	"equal at both ends", "equal to frame 63",
	"libdw failed", "ours stopped early", "libdw went past the end",
	"DIFFERENT",
};

static const char *const stop_names[DHAT_STOP_COUNT] = {
	"complete", "no table", "no rule",    "bad memory",
	"too deep", "JIT",	"no scratch", "no caller",
};

struct tally {
	uint32_t samples, outcomes[OUTCOME_COUNT], stops[DHAT_STOP_COUNT], used_fp;
	uint64_t frames;
	size_t deepest;
};

static enum outcome compare(const struct walk *ours, const struct walk *theirs, uint32_t stop)
{
	size_t i, common = ours->count < theirs->count ? ours->count : theirs->count;

	for (i = 0; i < common; i++) {
		if (i >= ours->gap && i < ours->gap_end)
			continue;
		if (ours->pcs[i] != theirs->pcs[i] || ours->is_exact[i] != theirs->is_exact[i])
			return DIFFERENT;
	}
	if (ours->count == theirs->count)
		return ours->gap < ours->gap_end ? EQUAL_ENDS : EQUAL;
	if (stop == DHAT_STOP_TOO_DEEP)
		return EQUAL_TOO_DEEP;
	if (ours->count > theirs->count)
		return theirs->is_whole ? DIFFERENT : LIBDW_FAILED;
	if (stop != DHAT_STOP_COMPLETE)
		return OURS_STOPPED;
	return dwfl_addrmodule(dwfl, theirs->pcs[ours->count]) ? DIFFERENT : LIBDW_GUESSED;
}

static void print_walk(const char *name, const struct walk *walk)
{
	Dwfl_Module *module;
	const char *symbol;
	size_t i;

	printf("    %s: %zu frames %s\n", name, walk->count, walk->error);
	for (i = 0; i < walk->count; i++) {
		module = dwfl_addrmodule(dwfl, walk->pcs[i]);
		symbol = module ? dwfl_module_addrname(module, walk->pcs[i] - !walk->is_exact[i])
				: NULL;
		printf("      %#" PRIx64 "%s %s (%s)\n", walk->pcs[i],
		       walk->is_exact[i] ? " exact" : "", symbol ?: "?",
		       module ? dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
			      : "no file");
	}
}

/* A stack inside of another allocator call: its return address is hidden by the return probe. */
static bool is_nested(const struct walk *walk)
{
	const char *line = strstr(maps, "[uprobes]");
	uint64_t start, end;
	size_t i;

	if (!line)
		return false;
	while (line > maps && line[-1] != '\n')
		line--;
	if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
		return false;
	for (i = 0; i < walk->count; i++) {
		if (walk->pcs[i] >= start && walk->pcs[i] < end)
			return true;
	}
	return false;
}

/* One line of libdw's stack; the line of the last sample is not written: dhatd may not have seen
 * that call yet. */
static int record(pid_t tid, struct tally *tally, FILE *file)
{
	static struct walk walk, last;
	struct user_regs_struct regs;
	size_t i;

	if (learn_maps() < 0 || ptrace(PTRACE_GETREGS, tid, NULL, &regs) < 0)
		return -EIO;
	if (regs.rip == tracee.places[PLACE_REALLOC] && regs.rdi)
		return 0; /* a resized block stays with the stack of its first allocation */
	walk_libdw(tid, &walk);
	if (is_nested(&walk))
		return 0;
	tally->samples++;
	for (i = 1; i < last.count; i++)
		fprintf(file, "%" PRIx64 "%c", last.pcs[i], i + 1 < last.count ? ' ' : '\n');
	last = walk;
	return 0;
}

static int sample(pid_t tid, struct tally *tally, bool is_verbose)
{
	static struct walk ours, theirs;
	enum outcome outcome;

	if (learn_maps() < 0 || walk_ours(tid, &ours) < 0)
		return -EIO;
	snprintf(ours.error, sizeof(ours.error), "%s", stop_names[host_scratch.stop]);
	walk_libdw(tid, &theirs);
	outcome = compare(&ours, &theirs, host_scratch.stop);
	tally->samples++;
	tally->outcomes[outcome]++;
	tally->stops[host_scratch.stop]++;
	tally->used_fp += host_scratch.flags & DHAT_STACK_USED_FP;
	tally->frames += ours.count - 1;
	if (ours.count - 1 > tally->deepest)
		tally->deepest = ours.count - 1;
	if (is_verbose ? outcome > EQUAL_TOO_DEEP || host_scratch.stop
		       : outcome == DIFFERENT && tally->outcomes[DIFFERENT] == 1) {
		printf("  %s at %s\n", outcome_names[outcome], stop_names[host_scratch.stop]);
		print_walk("ours", &ours);
		print_walk("libdw's", &theirs);
	}
	return 0;
}

/* ---- programs ----------------------------------------------------------------------------- */

static bool print_tally(const char *name, const struct tally *tally)
{
	uint32_t equal = tally->outcomes[EQUAL] + tally->outcomes[EQUAL_ENDS] +
			 tally->outcomes[EQUAL_TOO_DEEP];
	double all = tally->samples ? tally->samples : 1;
	double share = 100 * equal / all;
	double complete =
		100 * (tally->stops[DHAT_STOP_COMPLETE] + tally->stops[DHAT_STOP_TOO_DEEP]) / all;
	bool is_good = tally->samples >= 100 && !tally->outcomes[DIFFERENT] && share >= 99.5 &&
		       complete >= 99;
	int i;

	printf("# %-10s %4u stacks, %5.1f frames (most %zu): equal to libdw's %6.2f %%, complete "
	       "%6.2f %%%s\n",
	       name, tally->samples, (double)tally->frames / all, tally->deepest, share, complete,
	       is_good ? "" : "   TOO FEW");
	for (i = EQUAL_ENDS; i < OUTCOME_COUNT; i++) {
		if (tally->outcomes[i])
			printf("#            %u %s\n", tally->outcomes[i], outcome_names[i]);
	}
	for (i = DHAT_STOP_COMPLETE + 1; i < DHAT_STOP_COUNT; i++) {
		if (tally->stops[i])
			printf("#            %u stopped: %s\n", tally->stops[i], stop_names[i]);
	}
	if (tally->used_fp)
		printf("#            %u with a step by frame pointer\n", tally->used_fp);
	return is_good;
}

struct options {
	uint32_t samples, skip;
	bool is_verbose;
	FILE *live; /* NULL: compare here */
};

#define BEGINNING 8000 /* allocator calls; python3 has imported all it wants to before */

/* The thread that stopped; 0 if the program has ended. */
static pid_t pass_beginning(void)
{
	pid_t tid = tracee.pid;
	int i;

	for (i = 0; i < BEGINNING && tid > 0; i++) {
		if (tracee_go_on(&tracee, tid) < 0)
			return 0;
		tid = tracee_wait(&tracee);
	}
	return tid;
}

static void take_samples(pid_t tid, struct tally *tally, const struct options *options)
{
	struct timespec now, limit;
	long skip = random() % options->skip;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &limit);
	limit.tv_sec += 30; /* bounds a program that hardly allocates */
	while (tracee_go_on(&tracee, tid) == 0 && (tid = tracee_wait(&tracee)) > 0) {
		if (skip-- > 0)
			continue;
		skip = random() % options->skip;
		r = options->live ? record(tid, tally, options->live)
				  : sample(tid, tally, options->is_verbose);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (r < 0 || tally->samples == options->samples || now.tv_sec > limit.tv_sec)
			return;
	}
}

static void wait_for_line(void)
{
	int c;

	do
		c = getchar();
	while (c != '\n' && c != EOF);
}

static bool judge_program(const char *name, char *const *argv, const char *in,
			  const struct options *options)
{
	struct tally tally = {};
	pid_t tid;
	int r;

	r = tracee_start(&tracee, argv, in);
	if (r < 0) {
		printf("%s: cannot start %s: %s\n", name, argv[0], strerror(-r));
		return false;
	}
	memset(tracee.places, 0, sizeof(tracee.places));
	if (learn_maps() == 0)
		dwfl_getmodules(dwfl, find_in_module, NULL, 0);
	tid = tracee.pid;
	tracee_arm(&tracee, tid);
	if (options->live) {
		tid = pass_beginning();
		printf("%d\n", tid ? tracee.pid : 0);
		wait_for_line();
	}
	take_samples(tid, &tally, options);
	if (options->live) {
		fflush(options->live);
		printf("done\n");
		wait_for_line();
	}
	tracee_end(&tracee);
	forget_program();
	return options->live ? tally.samples == options->samples : print_tally(name, &tally);
}

/* One line each: name, standard input, arguments. {} is the folder of the built targets; other
 * relative paths start at the top of the source. */
static const char *const programs[][8] = {
	{ "c", NULL, "{}/recursion", "60", "100000" },
	{ "deep", NULL, "{}/recursion", "700", "10000" },
	{ "c++", NULL, "{}/stacks_cxx" },
	{ "rust", NULL, "{}/stacks_rust" },
	{ "python3", NULL, "/usr/bin/python3", "tests/targets/stacks.py" },
	{ "sqlite3", "tests/targets/stacks.sql", "/usr/bin/sqlite3" },
	{ "threads", NULL, "{}/handoff", "100000" },
};

static char *in_folder(const char *folder, const char *text)
{
	char *path = NULL;

	if (!text)
		return NULL;
	if (strncmp(text, "{}", 2) != 0)
		return strdup(text);
	return asprintf(&path, "%s%s", folder, text + 2) < 0 ? NULL : path;
}

/* only: the name of one; NULL: all. */
static bool judge_listed(const char *folder, const char *only, const struct options *options)
{
	char *argv[8] = {}, *in;
	bool is_good = true;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(programs); i++) {
		if (only && strcmp(only, programs[i][0]) != 0)
			continue;
		in = in_folder(folder, programs[i][1]);
		for (j = 0; j < 6; j++)
			argv[j] = in_folder(folder, programs[i][2 + j]);
		is_good &= judge_program(programs[i][0], argv, in, options);
		free(in);
		for (j = 0; j < 6; j++)
			free(argv[j]);
	}
	return is_good;
}

static bool is_listed(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(programs); i++) {
		if (!strcmp(name, programs[i][0]))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct options options = { .samples = 400, .skip = 100 };
	char folder[4096] = "";
	ssize_t length;
	int option;

	while ((option = getopt(argc, argv, "+n:s:vl:")) != -1) {
		if (option == 'n')
			options.samples = (uint32_t)strtoul(optarg, NULL, 10);
		else if (option == 's')
			options.skip = (uint32_t)strtoul(optarg, NULL, 10) ?: 1;
		else if (option == 'v')
			options.is_verbose = true;
		else if (option == 'l')
			options.live = fopen(optarg, "we");
		if (option == '?' || (option == 'l' && !options.live))
			return 2;
	}
	elf_version(EV_CURRENT);
	setvbuf(stdout, NULL, _IOLBF, 0);
	srandom(1);
	if (optind < argc && !is_listed(argv[optind]))
		return !judge_program(argv[optind], argv + optind, NULL, &options);
	length = readlink("/proc/self/exe", folder, sizeof(folder) - 16);
	while (length > 0 && folder[length - 1] != '/')
		length--;
	snprintf(folder + length, 16, "../targets");
	return !judge_listed(folder, optind < argc ? argv[optind] : NULL, &options);
}
