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

/* ---- what is pointed to ---- */

static const char box_text[] = PRINTS
	"struct item { struct item *next; int kind; }; typedef struct { double x, y; } point;\n"
	"struct tail { long count; struct item *open[]; }; struct opaque;\n"
	"struct box { struct item *first; point *points; void *blob; union { struct item *a;\n"
	"	point *b; } either; int *numbers; char *text; struct item **table;\n"
	"	struct opaque *opaque; const struct tail *tail; } *volatile root;\n"
	"int main(void) { PLACE(root); return 0; }\n";

struct expected {
	struct pointee_query query;
	const char *type, *member, *self;
};

#define AT(parent, at, bytes)                                                                      \
	{                                                                                          \
		parent, at, bytes, bytes, POINTEES_NOWHERE                                         \
	}
static const struct expected of_box[] = {
	{ AT(POINTEES_ROOT, 0, 72), "struct box", "", NULL },
	{ { 0, 0, 16, 16, 0 }, "struct item", ".first", ".next" },
	{ AT(0, 8, 16), "point", ".points", NULL },
	{ AT(0, 16, 16), "", ".blob", NULL },
	{ AT(0, 24, 16), "", ".either", NULL },
	{ AT(0, 32, 40), "int[10]", ".numbers", NULL },
	{ AT(0, 32, 42), "", ".numbers", NULL },
	{ AT(0, 40, 16), "", ".text", NULL },
	{ { 0, 48, 24, 80, 8 }, "struct item *[]", ".table", "[1]" },
	{ AT(8, POINTEES_NOWHERE, 16), "struct item", "", NULL },
	{ AT(8, 16, 16), "struct item", "[2]", NULL },
	{ AT(0, 56, 16), "", ".opaque", NULL },
	{ { 0, 64, 8, 32, 0 }, "struct tail", ".tail", ".count" },
	{ AT(0, 64, 12), "", ".tail", NULL },
	{ { 0, 0, 32, 32, 0 }, "", ".first", "" }, /* what begins with an item looks so, too */
	{ AT(14, 0, 16), "", "", NULL },
	{ { 0, 0, 16, 24, 0 }, "", ".first", "" },
	{ AT(1, 0, 16), "struct item", ".next", NULL },
	{ AT(1, 8, 16), "", ".kind", NULL },
	{ AT(0, POINTEES_NOWHERE, 16), "", "", NULL },
	{ AT(0, 4, 16), "", ".first+4", NULL },
	{ AT(0, 72, 16), "", "", NULL },
	{ AT(POINTEES_ROOT, 0, 64), "", "", NULL },
	{ AT(1000, 0, 16), "", "", NULL }, /* of none before it */
};

static const char shop_text[] = PRINTS
	"namespace shop { struct Peer { Peer *other; }; struct Session : Peer { Session *next;\n"
	"	Peer *peers[2]; }; Session *root; }\n"
	"int main() { PLACE_AS(shop::root, \"shop::root\"); return 0; }\n";

static const struct expected of_shop[] = {
	{ { POINTEES_ROOT, 0, 32, 32, 8 }, "shop::Session", "", ".next" },
	{ AT(0, 0, 8), "shop::Peer", ".other", NULL },
	{ AT(0, 24, 8), "shop::Peer", ".peers[1]", NULL },
	{ AT(0, 24, 32), "", ".peers[1]", NULL }, /* a Session is a Peer */
};

static void check_pointees(const char *program, const struct expected *expected, uint32_t count)
{
	struct pointee_query queries[ARRAY_SIZE(of_box)];
	struct place root;
	_cleanup_(names_free_ptr) struct names *names = NULL;
	_cleanup_close_ int fd = -1;
	char path[256];

	assert_int_equal(ask_program(program, &root), 1);
	snprintf(path, sizeof(path), "%s/%s", folder, program);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (uint32_t i = 0; i < count; i++) {
		queries[i] = expected[i].query;
		if (queries[i].parent == POINTEES_ROOT)
			queries[i].at = offset_of(fd, root.addr);
	}
	assert_int_equal(data_pointees(fd, queries, count, NULL, &names, NULL), 0);
	for (uint32_t i = 0; i < count; i++) {
		const struct name_location *at = &names->locations[names->frames[i].first_location];

		assert_int_equal(names->frames[i].location_count, expected[i].self ? 2 : 1);
		assert_string_equal(names->texts.list[at[0].function], expected[i].type);
		assert_string_equal(names->texts.list[at[0].file], expected[i].member);
		if (expected[i].self)
			assert_string_equal(names->texts.list[at[1].file], expected[i].self);
	}
}

static void test_pointees(void **state)
{
	write_file("box.c", box_text);
	write_file("shop.cc", shop_text);
	sh("gcc -w -no-pie -gdwarf-4 box.c -o box");
	check_pointees("box", of_box, ARRAY_SIZE(of_box));
	sh("clang -w -no-pie -gdwarf-5 -O2 box.c -o box");
	check_pointees("box", of_box, ARRAY_SIZE(of_box));
	sh("g++ -w -no-pie -g shop.cc -o shop");
	check_pointees("shop", of_shop, ARRAY_SIZE(of_shop));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_c, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_another_compiler, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_cxx, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_separate, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_without, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_pointees, make_folder, remove_folder),
	};

	elf_version(EV_CURRENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
