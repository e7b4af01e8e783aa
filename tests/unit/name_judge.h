#pragma once
/* name_judge: names of all places of a program that is compiled in the test, against two judges:
 * equal functions, files and lines, inlined calls included. binutils' addr2line reads DWARF by code
 * of its own; elfutils' eu-addr2line shares libdw with us, but not what is built upon it. For
 * test_naming.c and test_symbol_sources.c. */
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

#include "daemon/object/dwarf/naming.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct names *, names_free)

#define MAX_PLACES 400
#define MAX_PLACES_ELFUTILS 60 /* it takes a hundredth of a second for each */

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

__attribute__((unused)) static void write_file(const char *name, const char *content)
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
			places[count++] =
				(struct place){ header.sh_addr + at, header.sh_offset + at };
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
 * then f.cold, and so is whatever was inlined into it. Local C++ functions have no linkage name:
 * the judge tells the plain one only, which is a part of ours. */
static bool is_same_function(const struct names *names, const struct name_location *ours,
			     const char *function)
{
	const char *raw =
		names->texts.list[ours->linkage_name ? ours->linkage_name : ours->function];
	_cleanup_free_ char *plain = strndup(function, strcspn(function, "<"));

	return strstr(function, ".cold") || !strcmp(raw, function) ||
	       (!*raw && !strcmp(function, "??")) ||
	       (strncmp(function, "_Z", 2) && *plain &&
		strstr(names->texts.list[ours->function], plain));
}

static bool is_same_location(const struct judge *judge, const struct names *names,
			     const struct name_location *ours, const char *function,
			     const char *file, uint32_t line)
{
	if (ours->line != line || judge->which == BINUTILS_LINES)
		return ours->line == line;
	return is_same_function(names, ours, function) &&
	       /* a line of 0 means that no line can be named; then the file is idle talk */
	       (!line || !strcmp(names->texts.list[ours->file], file));
}

static void print_ours(const struct names *names, const struct name_frame *frame)
{
	for (uint32_t i = 0; i < frame->location_count; i++) {
		const struct name_location *at = &names->locations[frame->first_location + i];

		print_message("    ours: %s [%s] %s:%u:%u\n", names->texts.list[at->function],
			      names->texts.list[at->linkage_name], names->texts.list[at->file],
			      at->line, at->column);
	}
	print_message("    reason: %s\n", names->texts.list[frame->reason]);
}

/* Compares one address; the judge stands at its "0x…" line and is left at the next. */
static bool is_same_frame(struct judge *judge, const struct names *names,
			  const struct name_frame *frame, bool is_loud)
{
	static const struct name_location nowhere;
	/* bytes between functions: the judge names the function before them */
	bool is_padding =
		!frame->location_count || !names->locations[frame->first_location].function;
	bool is_same = true;
	uint32_t i = 0;

	judge_next(judge);
	while (!judge->is_ended && strncmp(judge->line, "0x", 2)) {
		const struct name_location *ours =
			i < frame->location_count ? &names->locations[frame->first_location + i]
						  : &nowhere;
		_cleanup_free_ char *function = strdup(judge->line);
		char *inlined = strstr(function, " inlined at ");
		char *file;
		uint32_t line;

		if (inlined)
			*inlined = '\0';
		judge_next(judge);
		parse_place(judge->line, &file, &line);
		if (!is_padding && !is_same_location(judge, names, ours, function, file, line)) {
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
	print_message(
		"  %s: %zu places, %zu with inlined calls, %zu between functions, %zu differ\n",
		name, count, inlined, unnamed, differing);
	assert_true(unnamed < count / 4);
	assert_true(differing * 50 <= (which == ELFUTILS ? count : 0));
}

/* ---- programs ---- */

__attribute__((unused)) static const char c_source[] =
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

__attribute__((unused)) static const char cxx_source[] =
	"#include <algorithm>\n"
	"#include <map>\n"
	"#include <memory>\n"
	"#include <string>\n"
	"#include <vector>\n"
	"namespace shop { namespace {\n"
	"template <typename T> struct Shelf {\n"
	"	std::vector<T> items;\n"
	"	void put(T value) { items.push_back(std::move(value)); }\n"
	"	template <typename F> size_t count(F f) { return std::count_if(items.begin(), "
	"items.end(), f); }\n"
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
	"	try { for (auto &p : index) sum += weigh(*p.second); } catch (std::string &s) { "
	"sum = 1; }\n"
	"	std::sort(shelf.items.begin(), shelf.items.end(), [](auto &a, auto &b) { return a "
	"> b; });\n"
	"	return sum + shelf.count([n](const std::string &s) { return (int)s.size() > n / 2; "
	"});\n"
	"}\n"
	"} // namespace shop\n"
	"int main(int argc, char **) { return (int)shop::work(argc * 5); }\n";

static int tear_down(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}
