/* Where in a variable a place is, in the words of the source: programs that are compiled here print
 * the addresses of members beside the expressions, so that their compilers are the judges. */
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/object/dwarf/data_naming.h"
#include "proto/base/cleanup.h"
#include "tests/unit/folder.h"

DEFINE_CLEANUP_PTR(struct names *, names_free)

#define MAX_PLACES 64

__attribute__((format(printf, 1, 2))) static void sh(const char *format, ...)
{
	char command[1024], whole[1200];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	snprintf(whole, sizeof(whole), "cd %s && %s", folder, command);
	assert_int_equal(system(whole), 0);
}

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* ---- what the programs say ---- */

struct place {
	uint64_t addr;
	char text[128]; /* "cache.table.buckets" */
};

static size_t ask_program(const char *program, struct place *places)
{
	char command[256];
	size_t count = 0;
	FILE *out;

	snprintf(command, sizeof(command), "%s/%s", folder, program);
	out = popen(command, "r");
	assert_non_null(out);
	while (count < MAX_PLACES &&
	       fscanf(out, "%" SCNx64 " %127[^\n]", &places[count].addr, places[count].text) == 2)
		count++;
	assert_int_equal(pclose(out), 0);
	assert_true(count > 0);
	return count;
}

/* Programs are not position-independent. */
static uint64_t offset_of(int fd, uint64_t addr)
{
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	uint64_t offset = 0;
	size_t count = 0;
	GElf_Phdr header;

	assert_non_null(elf);
	assert_int_equal(elf_getphdrnum(elf, &count), 0);
	for (size_t i = 0; i < count && gelf_getphdr(elf, i, &header); i++)
		if (header.p_type == PT_LOAD && header.p_flags & PF_W &&
		    addr - header.p_vaddr < header.p_memsz)
			offset = addr - header.p_vaddr + header.p_offset;
	elf_end(elf);
	assert_int_not_equal(offset, 0);
	return offset;
}

static int grant_debug(void *name, const struct wish *wish)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, (const char *)name);
	return wish->kind == WISH_BUILD_ID ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

/* debug: the file with its debugging information; NULL: there is no other. */
static void check(const char *program, const char *debug, bool has_members)
{
	struct wish_granter granter = { grant_debug, (void *)(uintptr_t)debug };
	struct place places[MAX_PLACES];
	size_t count = ask_program(program, places);
	char path[256], told[512];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", folder, program);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t i = 0; i < count; i++) {
		const struct name_query query = { offset_of(fd, places[i].addr), true };
		_cleanup_(names_free_ptr) struct names *names = NULL;
		const struct name_location *location;

		assert_int_equal(
			data_name(fd, &query, 1, true, debug ? &granter : NULL, &names, NULL), 0);
		assert_int_equal(names->frames[0].location_count, 1);
		location = &names->locations[0];
		snprintf(told, sizeof(told), "%s%s", names->texts.list[location->function],
			 names->texts.list[location->file]);
		if (has_members)
			assert_string_equal(told, places[i].text);
		else
			assert_null(strpbrk(names->texts.list[location->file], ".["));
	}
}

/* ---- programs ---- */

#define PRINTS                                                                                     \
	"#include <stdio.h>\n"                                                                     \
	"#define PLACE(x) printf(\"%p %s\\n\", (void *)&(x), #x)\n"                                \
	"#define PLACE_AS(x, text) printf(\"%p %s\\n\", (void *)&(x), text)\n"

static const char c_text[] = PRINTS
	"typedef struct bucket { struct bucket *next; char key[12]; int hash; } bucket_t;\n"
	"struct table { long size; bucket_t **buckets; struct { int used, free; void *spare; }; "
	"};\n"
	"union value { long number; bucket_t *bucket; double real; };\n"
	"union choice { bucket_t *one; struct table *other; };\n"
	"static struct cache { const char *name; volatile const struct table table[2];\n"
	"	unsigned flags : 3, kind : 5; union value value; union choice choice;\n"
	"	bucket_t *grid[3][4]; bucket_t first[2]; union { void *only; char bytes[8]; };\n"
	"	char tail[]; } response_cache;\n"
	"bucket_t *heads[5], *plain; struct table tables[3];\n"
	"int main(void) { PLACE(response_cache.name); PLACE(response_cache.table[0].size);\n"
	"PLACE(response_cache.table[1].buckets); PLACE(response_cache.table[1].spare);\n"
	"PLACE(response_cache.value.bucket); PLACE(response_cache.choice);\n"
	"PLACE(response_cache.grid[0][0]); PLACE(response_cache.grid[1][2]);\n"
	"PLACE(response_cache.grid[2][3]); PLACE(response_cache.first[1].next);\n"
	"PLACE(response_cache.first[1].key[8]); PLACE(response_cache.only);\n"
	"PLACE_AS(((char *)&response_cache.first[0].next)[3], "
	"\"response_cache.first[0].next+3\");\n"
	"PLACE(heads[0]); PLACE(heads[4]); PLACE(plain); PLACE(tables[2].buckets); return 0; }\n";

static const char cxx_text[] = PRINTS
	"struct Base { virtual ~Base() {} void *held = nullptr; static int counted; };\n"
	"struct Other { virtual int f() { return 1; } void *kept = nullptr; };\n"
	"struct Session : Base, Other { Session *peer = nullptr; int f() override { return 2; } "
	"};\n"
	"int Base::counted = 3;\n"
	"namespace shop { Session session; static Session list[2];\n"
	"	namespace { struct { Session *first; void *rest[2]; } order; } }\n"
	"using namespace shop;\n"
	"int main() {\n"
	"PLACE_AS(session, \"shop::session._vptr.Base\");\n"
	"PLACE_AS(session.held, \"shop::session.held\");\n"
	"PLACE_AS(*static_cast<Other *>(&session), \"shop::session._vptr.Other\");\n"
	"PLACE_AS(session.kept, \"shop::session.kept\");\n"
	"PLACE_AS(session.peer, \"shop::session.peer\");\n"
	"PLACE_AS(list[1].peer, \"shop::list[1].peer\");\n"
	"PLACE_AS(order.first, \"shop::(anonymous namespace)::order.first\");\n"
	"PLACE_AS(order.rest[1], \"shop::(anonymous namespace)::order.rest[1]\"); return 0; }\n";

/* ---- tests ---- */

static void test_c(void **state)
{
	static const char *const flags[] = { "-gdwarf-4", "-gdwarf-5", "-gdwarf-5 -O2" };

	write_file("places.c", c_text);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		sh("gcc -w -no-pie %s places.c -o places", flags[i]);
		check("places", NULL, true);
	}
}

static void test_another_compiler(void **state)
{
	write_file("places.c", c_text);
	sh("clang -w -no-pie -gdwarf-5 places.c -o places"); /* addresses by their numbers */
	check("places", NULL, true);
}

static void test_cxx(void **state)
{
	write_file("places.cc", cxx_text);
	sh("g++ -w -no-pie -g places.cc -o places");
	check("places", NULL, true);
}

static void test_separate(void **state)
{
	write_file("places.c", c_text);
	sh("gcc -w -no-pie -g -Wl,--build-id places.c -o places && "
	   "objcopy --only-keep-debug places places.debug && strip places");
	check("places", "places.debug", true);
}

static void test_without(void **state)
{
	write_file("places.c", c_text);
	sh("gcc -w -no-pie places.c -o places");
	check("places", NULL, false);
	sh("gcc -w -no-pie -g -gsplit-dwarf places.c -o places");
	check("places", NULL, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_c, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_another_compiler, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_cxx, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_separate, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_without, make_folder, remove_folder),
	};

	elf_version(EV_CURRENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
