/* Names of addresses, against two judges on the same ones: equal functions, files and lines, inlined
 * calls included. binutils' addr2line reads DWARF by code of its own; elfutils' eu-addr2line shares
 * libdw with us, but not what is built upon it. The programs are compiled here, in the shapes debug
 * information comes in. */
#include <fcntl.h>
#include <gelf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../daemon/debugfiles.h"
#include "../../daemon/symbol.h"
#include "../../proto/cleanup.h"

DEFINE_CLEANUP_PTR(struct names *, names_free)

#define MAX_PLACES 700
#define MAX_PLACES_ELFUTILS 150 /* it takes a hundredth of a second for each */

static char directory[] = "/tmp/dhat-symbol-XXXXXX";

/* Runs a command in the test's directory; it must succeed. */
__attribute__((format(printf, 1, 2))) static void sh(const char *format, ...)
{
	char command[4096];
	va_list args;
	int used = snprintf(command, sizeof(command), "cd %s && ", directory);

	va_start(args, format);
	vsnprintf(command + used, sizeof(command) - used, format, args);
	va_end(args);
	if (system(command)) {
		print_error("failed: %s\n", command);
		fail();
	}
}

static void write_file(const char *name, const char *content)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(content, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int open_built(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* ---- places ---- */

struct place {
	uint64_t vaddr, file_offset;
};

/* Addresses spread over .text; as exact places, for that is what addr2line is asked for. */
static size_t places_of_text(const char *name, struct place *places, size_t max)
{
	uint64_t step = 1;
	int fd = open_built(name);
	Elf_Scn *section = NULL;
	size_t names, count = 0;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	assert_non_null(elf);
	assert_int_equal(elf_getshdrstrndx(elf, &names), 0);
	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;

		assert_non_null(gelf_getshdr(section, &header));
		if (strcmp(elf_strptr(elf, names, header.sh_name), ".text"))
			continue;
		if (header.sh_size / step > max)
			step = header.sh_size / max + 1;
		for (uint64_t at = 0; at < header.sh_size && count < max; at += step)
			places[count++] = (struct place){ header.sh_addr + at,
							  header.sh_offset + at };
	}
	elf_end(elf);
	close(fd);
	assert_true(count > 0);
	return count;
}

static struct names *name_places(const char *name, const struct place *places, size_t count,
				 const struct wish_granter *granter)
{
	_cleanup_free_ struct name_query *queries = calloc(count, sizeof(*queries));
	_cleanup_close_ int fd = open_built(name);
	struct dhat_error err = { 0 };
	struct names *names = NULL;

	for (size_t i = 0; i < count; i++)
		queries[i] = (struct name_query){ places[i].file_offset, true };
	if (symbol_name(fd, queries, count, false, granter, &names, &err))
		fail_msg("%s: %s", name, err.message);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(names->frames[i].vaddr, places[i].vaddr);
	return names;
}

/* ---- the judge ---- */

enum which_judge {
	BINUTILS,
	BINUTILS_LINES, /* lines only: in C++ 2.40 names inlined functions that have no linkage name
			   (of local types) by the symbol around them, and takes DWARF 5's file
			   numbers of some functions for the main file's */
	ELFUTILS,	/* clang's DWARF 5 range lists are beyond binutils 2.40 */
};

struct judge {
	enum which_judge which;
	FILE *out;
	char *line;
	size_t size;
	bool is_ended;
};

static void judge_next(struct judge *judge)
{
	ssize_t length = getline(&judge->line, &judge->size, judge->out);

	judge->is_ended = length < 0;
	if (length > 0)
		judge->line[length - 1] = '\0';
}

/* One run of addr2line over all places: "0xADDR", then pairs of lines, function and file:line. */
static void judge_start(struct judge *judge, enum which_judge which, const char *name,
			const struct place *places, size_t count)
{
	char path[300], command[512];
	FILE *in;

	snprintf(path, sizeof(path), "%s/places", directory);
	in = fopen(path, "w");
	assert_non_null(in);
	for (size_t i = 0; i < count; i++)
		fprintf(in, "0x%lx\n", places[i].vaddr);
	fclose(in);
	snprintf(command, sizeof(command), "%saddr2line -afi -e %s/%s <%s",
		 which == ELFUTILS ? "eu-" : "", directory, name, path);
	memset(judge, 0, sizeof(*judge));
	judge->which = which;
	judge->out = popen(command, "r");
	assert_non_null(judge->out);
	judge_next(judge);
}

static void judge_end(struct judge *judge)
{
	free(judge->line);
	pclose(judge->out);
}

/* "file:line (discriminator 3)", "file:line:column" or "??:0"; unknown parts are '?' or 0. */
static void parse_place(char *text, char **ret_file, uint32_t *ret_line)
{
	char *colon, *before;

	text[strcspn(text, " ")] = '\0';
	colon = strrchr(text, ':');
	assert_non_null(colon);
	*colon = '\0';
	before = strrchr(text, ':');
	if (before && before[1] && strspn(before + 1, "0123456789") == strlen(before + 1)) {
		*before = '\0';
		colon = before;
	}
	*ret_line = strtoul(colon + 1, NULL, 10);
	*ret_file = strcmp(text, "??") ? text : "";
}

/* The judge names the outer function by its symbol where there is one: a part that was split off is
 * then f.cold, and so is whatever was inlined into it. Local C++ functions have no linkage name: the
 * judge tells the plain one only, which is a part of ours. */
static bool is_same_function(const struct names *names, const struct name_location *ours,
			     const char *function)
{
	const char *raw = names->strings[ours->linkage_name ? ours->linkage_name : ours->function];
	_cleanup_free_ char *plain = strndup(function, strcspn(function, "<"));

	return strstr(function, ".cold") || !strcmp(raw, function) ||
	       (!*raw && !strcmp(function, "??")) ||
	       (strncmp(function, "_Z", 2) && *plain &&
		strstr(names->strings[ours->function], plain));
}

static bool is_same_location(const struct judge *judge, const struct names *names,
			     const struct name_location *ours, const char *function,
			     const char *file, uint32_t line)
{
	if (ours->line != line || judge->which == BINUTILS_LINES)
		return ours->line == line;
	return is_same_function(names, ours, function) &&
	       /* a line of 0 means that no line can be named; then the file is idle talk */
	       (!line || !strcmp(names->strings[ours->file], file));
}

static void print_ours(const struct names *names, const struct name_frame *frame)
{
	for (uint32_t i = 0; i < frame->location_count; i++) {
		const struct name_location *at = &names->locations[frame->first_location + i];

		print_message("    ours: %s [%s] %s:%u:%u\n", names->strings[at->function],
			      names->strings[at->linkage_name], names->strings[at->file], at->line,
			      at->column);
	}
	print_message("    reason: %s\n", names->strings[frame->reason]);
}

/* Compares one address; the judge stands at its "0x…" line and is left at the next. */
static bool is_same_frame(struct judge *judge, const struct names *names,
			  const struct name_frame *frame, bool is_loud)
{
	static const struct name_location nowhere;
	/* bytes between functions: the judge names the function before them */
	bool is_padding = !frame->location_count || !names->locations[frame->first_location].function;
	bool is_same = true;
	uint32_t i = 0;

	judge_next(judge);
	while (!judge->is_ended && strncmp(judge->line, "0x", 2)) {
		const struct name_location *ours =
			i < frame->location_count ? &names->locations[frame->first_location + i] :
						    &nowhere;
		_cleanup_free_ char *function = strdup(judge->line);
		char *inlined = strstr(function, " inlined at ");
		char *file;
		uint32_t line;

		if (inlined)
			*inlined = '\0';
		judge_next(judge);
		parse_place(judge->line, &file, &line);
		if (!is_padding &&
		    !is_same_location(judge, names, ours, function, file, line)) {
			if (is_loud)
				print_message("  0x%lx judge: %s %s:%u\n", frame->vaddr, function,
					      file, line);
			is_same = false;
		}
		i++;
		judge_next(judge);
	}
	if (judge->which == ELFUTILS && frame->location_count &&
	    !names->locations[frame->first_location].line)
		return is_same; /* where the line is 0 it tells nothing more */
	return is_same && (is_padding || i == frame->location_count);
}

/* All places of name's .text; reference: the file that the judge reads. binutils must agree on all;
 * elfutils on all but one in fifty: where inlined calls claim the same bytes, it takes another than
 * binutils and we. */
static void compare(const char *name, enum which_judge which, const char *reference,
		    const struct wish_granter *granter)
{
	bool is_loud = which != ELFUTILS;
	static struct place places[MAX_PLACES];
	size_t max = which == ELFUTILS ? MAX_PLACES_ELFUTILS : MAX_PLACES;
	size_t count = places_of_text(name, places, max), differing = 0, inlined = 0, unnamed = 0;
	_cleanup_(names_free_ptr) struct names *names = name_places(name, places, count, granter);
	struct judge judge;

	judge_start(&judge, which, reference, places, count);
	for (size_t i = 0; i < count; i++) {
		inlined += names->frames[i].location_count > 1;
		unnamed += !names->frames[i].location_count;
		if (is_same_frame(&judge, names, &names->frames[i], is_loud && differing < 5))
			continue;
		if (differing++ < 5 && is_loud)
			print_ours(names, &names->frames[i]);
	}
	assert_true(judge.is_ended);
	judge_end(&judge);
	print_message("  %s: %zu places, %zu with inlined calls, %zu between functions, %zu differ\n",
		      name, count, inlined, unnamed, differing);
	assert_true(unnamed < count / 4);
	assert_true(differing * 50 <= (which == ELFUTILS ? count : 0));
}

/* ---- programs ---- */

static const char c_source[] =
	"#include <stdio.h>\n"
	"#include <stdlib.h>\n"
	"#include <string.h>\n"
	"#include \"twice.h\"\n"
	"static inline __attribute__((always_inline)) void *leaf(size_t n) { return malloc(n); }\n"
	"static inline __attribute__((always_inline)) void *mid(size_t n)\n"
	"{\n"
	"	void *p = leaf(n + 1);\n"
	"	if (n > 3)\n"
	"		memset(p, (int)n, 3), p = leaf(n * 2);\n"
	"	return p;\n"
	"}\n"
	"__attribute__((noinline)) void *outer(int n) { return mid(n); }\n"
	"static int compare(const void *a, const void *b) { return *(int *)a - *(int *)b; }\n"
	"__attribute__((noinline)) static int rare(int n) { if (n > 5) abort(); return n * 3; }\n"
	"int main(int argc, char **argv)\n"
	"{\n"
	"	int list[4] = { argc, 3, 2, 1 };\n"
	"	qsort(list, 4, sizeof(*list), compare);\n"
	"	for (int i = 0; i < argc * 10; i++)\n"
	"		printf(\"%p %p %d\\n\", mid(i), outer(i), rare(twice(list[i & 3])));\n"
	"	return 0;\n"
	"}\n";

static const char cxx_source[] =
	"#include <algorithm>\n"
	"#include <map>\n"
	"#include <memory>\n"
	"#include <string>\n"
	"#include <vector>\n"
	"namespace shop { namespace {\n"
	"template <typename T> struct Shelf {\n"
	"	std::vector<T> items;\n"
	"	void put(T value) { items.push_back(std::move(value)); }\n"
	"	template <typename F> size_t count(F f) { return std::count_if(items.begin(), items.end(), f); }\n"
	"};\n"
	"int weigh(const std::string &s) { if (s.size() > 99) throw s; return (int)s.size(); }\n"
	"} // namespace\n"
	"size_t work(int n)\n"
	"{\n"
	"	Shelf<std::string> shelf;\n"
	"	std::map<int, std::unique_ptr<std::string>> index;\n"
	"	for (int i = 0; i < n; i++) {\n"
	"		shelf.put(std::string(i, 'x'));\n"
	"		index[i] = std::make_unique<std::string>(std::to_string(i));\n"
	"	}\n"
	"	size_t sum = 0;\n"
	"	try { for (auto &p : index) sum += weigh(*p.second); } catch (std::string &s) { sum = 1; }\n"
	"	std::sort(shelf.items.begin(), shelf.items.end(), [](auto &a, auto &b) { return a > b; });\n"
	"	return sum + shelf.count([n](const std::string &s) { return (int)s.size() > n / 2; });\n"
	"}\n"
	"} // namespace shop\n"
	"int main(int argc, char **) { return (int)shop::work(argc * 5); }\n";

static const char rust_source[] =
	"use std::collections::HashMap;\n"
	"struct Shelf<T> { items: Vec<T> }\n"
	"impl<T: Clone> Shelf<T> {\n"
	"    #[inline] fn put(&mut self, item: T) { self.items.push(item.clone()); self.items.push(item); }\n"
	"}\n"
	"#[inline(never)] fn work(n: usize) -> usize {\n"
	"    let mut shelf = Shelf { items: Vec::new() };\n"
	"    let mut index = HashMap::new();\n"
	"    for i in 0..n { shelf.put(format!(\"item {}\", i)); index.insert(i, i.to_string()); }\n"
	"    shelf.items.iter().filter(|s| s.len() > 3).map(|s| s.len()).sum::<usize>() + index.len()\n"
	"}\n"
	"fn main() { println!(\"{}\", work(std::env::args().count() * 10)); }\n";

static int set_up(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	write_file("a.c", c_source);
	sh("mkdir include");
	write_file("include/twice.h",
		   "static inline int twice(int n) { volatile int m = n; return m * 2; }\n");
	write_file("b.cc", cxx_source);
	write_file("c.rs", rust_source);
	sh("gcc -Iinclude -gdwarf-4 -O2 a.c -o c4 && gcc -Iinclude -gdwarf-5 -O2 a.c -o c5");
	sh("g++ -gdwarf-5 -O2 b.cc -o cxx5");
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

/* ---- tests ---- */

static void test_c(void **state)
{
	/* binutils takes DWARF 5's file number 0 wrongly at -O0 */
	sh("gcc -Iinclude -gdwarf-4 -O0 a.c -o c0");
	compare("c4", BINUTILS, "c4", NULL);
	compare("c5", BINUTILS, "c5", NULL);
	compare("c5", ELFUTILS, "c5", NULL);
	compare("c0", BINUTILS, "c0", NULL);
}

static void test_clang(void **state)
{
	sh("clang -Iinclude -gdwarf-4 -O2 a.c -o clang4 && clang -Iinclude -gdwarf-5 -O2 a.c -o clang5");
	/* elfutils finds no unit without this table */
	sh("clang -Iinclude -gdwarf-5 -gdwarf-aranges -O2 a.c -o clang5_aranges");
	compare("clang4", BINUTILS, "clang4", NULL);
	compare("clang5", ELFUTILS, "clang5_aranges", NULL);
}

static void test_cxx(void **state)
{
	sh("g++ -gdwarf-4 -O2 b.cc -o cxx4");
	compare("cxx4", BINUTILS_LINES, "cxx4", NULL);
	compare("cxx5", BINUTILS_LINES, "cxx5", NULL);
	compare("cxx5", ELFUTILS, "cxx5", NULL);
}

/* How many of the object's places are in a function whose name begins so. */
static size_t count_named(const char *name, const char *beginning)
{
	static struct place places[MAX_PLACES];
	size_t count = places_of_text(name, places, MAX_PLACES), found = 0;
	_cleanup_(names_free_ptr) struct names *names = name_places(name, places, count, NULL);

	for (uint32_t i = 0; i < names->location_count; i++)
		found += !strncmp(names->strings[names->locations[i].function], beginning,
				  strlen(beginning));
	return found;
}

/* Functions without a linkage name say where they stand in the source; others are demangled. */
static void test_whole_names(void **state)
{
	assert_true(count_named("cxx5", "shop::(anonymous namespace)::weigh") > 0);
	/* lambdas: the two of work(), by their lines */
	assert_true(count_named("cxx5", "shop::work::{lambda at line 24}::operator()") > 0);
	assert_true(count_named("cxx5", "shop::work::{lambda at line 25}::operator()") > 0);
	assert_int_equal(count_named("cxx5", "weigh"), 0);
	assert_int_equal(count_named("cxx5", "operator()"), 0);
	assert_int_equal(count_named("cxx5", "_Z"), 0);
	assert_true(count_named("cxx5", "shop::work(int)") > 0);
	assert_true(count_named("c5", "outer") > 0);
}

static void test_rust(void **state)
{
	sh("/usr/bin/rustc -g -O c.rs -o rust_legacy");
	sh("/usr/bin/rustc -g -O -C symbol-mangling-version=v0 c.rs -o rust_v0");
	compare("rust_legacy", BINUTILS, "rust_legacy", NULL);
	compare("rust_v0", BINUTILS, "rust_v0", NULL);
	assert_true(count_named("rust_legacy", "c::work") > 0); /* no hash, no linkage name */
	assert_int_equal(count_named("rust_legacy", "_ZN"), 0);
	assert_int_equal(count_named("rust_v0", "_R"), 0);
}

/* ---- separate debug information; the files are looked for as the daemon does ---- */

static const char *granted[8]; /* kinds of wishes that were granted */
static int granted_count;

static int grant_and_note(void *context, const struct wish *wish)
{
	static const char *const kinds[WISH_COUNT] = {
		[WISH_BUILD_ID] = "build id", [WISH_DEBUGLINK] = "debuglink",
		[WISH_ALTLINK] = "altlink",   [WISH_SPLIT] = "split",
	};
	int fd = debugfiles_grant(context, wish);

	if (fd >= 0 && granted_count < 8)
		granted[granted_count++] = kinds[wish->kind];
	return fd;
}

/* Looks below root (in the test's directory; NULL: the host's) for debug files of the object, and
 * compares with what the judge says of reference. */
static void compare_separate(const char *name, const char *root, enum which_judge which,
			     const char *reference, const char *expected_kind)
{
	_cleanup_close_ int root_fd = -1;
	struct debugfiles files = { .root_fd = -1, .uid = getuid() };
	const struct wish_granter granter = { .grant = grant_and_note, .context = &files };
	char path[300];

	if (root) {
		snprintf(path, sizeof(path), "%s/%s", directory, root);
		files.root_fd = root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		assert_true(root_fd >= 0);
		snprintf(path, sizeof(path), "/bin/%s", name);
	} else {
		snprintf(path, sizeof(path), "%s/%s", directory, name);
	}
	files.object_path = path;
	granted_count = 0;
	compare(name, which, reference, &granter);
	assert_int_equal(granted_count, expected_kind ? 1 : 0);
	if (expected_kind)
		assert_string_equal(granted[0], expected_kind);
}

static void test_debuglink(void **state)
{
	sh("gcc -Iinclude -g -O2 -Wl,--build-id=none a.c -o linked_full");
	sh("objcopy --only-keep-debug linked_full linked.debug");
	sh("objcopy -S --add-gnu-debuglink=linked.debug linked_full linked");
	compare_separate("linked", NULL, BINUTILS, "linked_full", "debuglink");
	/* beside the object, in .debug, below the debug directory */
	sh("mkdir -p .debug && mv linked.debug .debug/");
	compare_separate("linked", NULL, BINUTILS, "linked_full", "debuglink");
	sh("mkdir -p root/usr/lib/debug/bin && mv .debug/linked.debug root/usr/lib/debug/bin/");
	compare_separate("linked", "root", BINUTILS, "linked_full", "debuglink");
}

static const char *reason_at(const char *name, uint64_t file_offset,
			     const struct wish_granter *granter)
{
	const struct place place = { .file_offset = file_offset };
	_cleanup_close_ int fd = open_built(name);
	struct name_query query = { place.file_offset, true };
	static char reason[256];
	struct names *names = NULL;

	assert_int_equal(symbol_name(fd, &query, 1, false, granter, &names, NULL), 0);
	snprintf(reason, sizeof(reason), "%s", names->strings[names->frames[0].reason]);
	names_free(names);
	return reason;
}

/* A file of the right name and the wrong content is not believed. */
static void test_wrong_debuglink(void **state)
{
	struct place places[MAX_PLACES];
	char path[300];
	struct debugfiles files = { .root_fd = -1, .uid = getuid(), .object_path = path };
	const struct wish_granter granter = { .grant = grant_and_note, .context = &files };

	snprintf(path, sizeof(path), "%s/wrong", directory);
	sh("gcc -Iinclude -g -O2 -Wl,--build-id=none a.c -o wrong_full");
	sh("objcopy --only-keep-debug wrong_full wrong.debug");
	sh("objcopy -S --add-gnu-debuglink=wrong.debug wrong_full wrong");
	sh("objcopy --only-keep-debug c5 wrong.debug");
	places_of_text("wrong", places, MAX_PLACES);
	granted_count = 0;
	assert_string_equal(reason_at("wrong", places[100].file_offset, &granter),
			    "stripped: no symbol table and no debug information found");
	assert_int_equal(granted_count, 1);
}

static void test_build_id(void **state)
{
	sh("gcc -Iinclude -g -O2 -Wl,--build-id=0x1234567890abcdef12345678 a.c -o id_full");
	sh("mkdir -p id_root/usr/lib/debug/.build-id/12");
	sh("objcopy --only-keep-debug id_full "
	   "id_root/usr/lib/debug/.build-id/12/34567890abcdef12345678.debug");
	sh("objcopy -S id_full id");
	compare_separate("id", "id_root", BINUTILS, "id_full", "build id");
	/* a link out of the root does not lead out of it */
	sh("cd id_root/usr/lib/debug && mv .build-id ../elsewhere && "
	   "ln -s /../../../../../usr/lib/elsewhere .build-id");
	compare_separate("id", "id_root", BINUTILS, "id_full", "build id");
}

/* MiniDebugInfo as Fedora makes it: function symbols that .dynsym lacks, packed by xz. */
static void test_mini_debug_info(void **state)
{
	static struct place places[MAX_PLACES];
	size_t count, functions = 0;
	struct names *names;

	sh("gcc -Iinclude -g -O2 -rdynamic a.c -o mini_full");
	sh("objcopy --only-keep-debug mini_full mini.debug");
	sh("objcopy -S --remove-section .gdb_index --remove-section .comment mini.debug mini.symbols "
	   "2>/dev/null; objcopy --strip-debug mini_full mini.symbols");
	sh("objcopy --only-keep-debug mini.symbols mini.symtab && xz -f mini.symtab");
	sh("objcopy -S --add-section .gnu_debugdata=mini.symtab.xz mini_full mini");
	sh("objcopy --strip-debug mini_full mini_symbols");
	count = places_of_text("mini", places, MAX_PLACES);
	compare("mini", BINUTILS, "mini_symbols", NULL);
	names = name_places("mini", places, count, NULL);
	for (size_t i = 0; i < count; i++)
		for (uint32_t j = 0; j < names->frames[i].location_count; j++) {
			const struct name_location *at =
				&names->locations[names->frames[i].first_location + j];

			/* static functions are in .gnu_debugdata only */
			functions += !strcmp(names->strings[at->function], "compare");
		}
	names_free(names);
	assert_true(functions > 0);
}

static void test_dwz(void **state)
{
	sh("cp cxx5 dwz_one && cp cxx5 dwz_two");
	sh("dwz -m dwz_common dwz_one dwz_two");
	compare_separate("dwz_one", NULL, BINUTILS_LINES, "cxx5", "altlink");
	compare_separate("dwz_two", NULL, BINUTILS_LINES, "cxx5", "altlink");
	/* all in one file */
	sh("cp cxx5 dwz_alone && dwz dwz_alone");
	compare_separate("dwz_alone", NULL, BINUTILS_LINES, "cxx5", NULL);
}

static void test_split(void **state)
{
	static struct place places[MAX_PLACES];

	sh("gcc -Iinclude -gsplit-dwarf -gdwarf-5 -O2 a.c -o split5");
	sh("gcc -Iinclude -gsplit-dwarf -gdwarf-4 -O2 a.c -o split4");
	/* no judge here reads split DWARF; the code is that of the whole ones */
	compare_separate("split5", NULL, BINUTILS, "c5", "split");
	compare_separate("split4", NULL, BINUTILS, "c4", "split");
	/* without the file: lines and outer functions remain, and the frames say why there is no more */
	sh("mv split5-a.dwo hidden.dwo");
	places_of_text("split5", places, MAX_PLACES);
	assert_string_equal(reason_at("split5", places[100].file_offset, NULL),
			    "inlined calls unknown: its split debug file (.dwo) was not found");
}

static void test_compressed(void **state)
{
	sh("gcc -Iinclude -g -gz=zlib -O2 a.c -o compressed");
	sh("gcc -Iinclude -g -gz=zlib-gnu -O2 a.c -o compressed_gnu");
	compare("compressed", BINUTILS, "c5", NULL);
	compare("compressed_gnu", BINUTILS, "c5", NULL);
}

/* Symbols alone: of a table, and of what is left when all can be stripped. */
static void test_symbols_only(void **state)
{
	static struct place places[MAX_PLACES];

	sh("gcc -Iinclude -O2 a.c -o symbols && strip -o stripped symbols");
	compare("symbols", BINUTILS, "symbols", NULL);
	places_of_text("stripped", places, MAX_PLACES);
	assert_string_equal(reason_at("stripped", places[100].file_offset, NULL),
			    "stripped: no symbol table and no debug information found");
	assert_string_equal(reason_at("stripped", 0, NULL), "not in a loaded part of the file");
	assert_string_equal(reason_at("stripped", UINT64_MAX, NULL),
			    "not in a loaded part of the file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_c),
		cmocka_unit_test(test_clang),
		cmocka_unit_test(test_cxx),
		cmocka_unit_test(test_whole_names),
		cmocka_unit_test(test_rust),
		cmocka_unit_test(test_debuglink),
		cmocka_unit_test(test_wrong_debuglink),
		cmocka_unit_test(test_build_id),
		cmocka_unit_test(test_mini_debug_info),
		cmocka_unit_test(test_dwz),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_symbols_only),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
