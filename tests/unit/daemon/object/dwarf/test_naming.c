/* Names of addresses in C, C++ and Rust programs, DWARF 4 and 5. */
#include "tests/unit/name_judge.h"

#include "daemon/object/dwarf/data_naming.h"

#include <inttypes.h>

static const char rust_source[] =
	"use std::collections::HashMap;\n"
	"struct Shelf<T> { items: Vec<T> }\n"
	"impl<T: Clone> Shelf<T> {\n"
	"    #[inline] fn put(&mut self, item: T) { self.items.push(item.clone()); "
	"self.items.push(item); }\n"
	"}\n"
	"#[inline(never)] fn work(n: usize) -> usize {\n"
	"    let mut shelf = Shelf { items: Vec::new() };\n"
	"    let mut index = HashMap::new();\n"
	"    for i in 0..n { shelf.put(format!(\"item {}\", i)); index.insert(i, i.to_string()); "
	"}\n"
	"    shelf.items.iter().filter(|s| s.len() > 3).map(|s| s.len()).sum::<usize>() + "
	"index.len()\n"
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
	sh("clang -Iinclude -gdwarf-4 -O2 a.c -o clang4 && clang -Iinclude -gdwarf-5 -O2 a.c -o "
	   "clang5");
	/* elfutils finds no unit without this table */
	sh("clang -Iinclude -gdwarf-5 -gdwarf-aranges -O2 a.c -o clang5_aranges");
	compare("clang4", BINUTILS, "clang4", NULL);
	compare("clang5", ELFUTILS, "clang5_aranges", NULL);
}

static void test_cxx(void **state)
{
	sh("g++ -gdwarf-4 -O1 b.cc -o cxx4");
	compare("cxx4", BINUTILS_LINES, "cxx4", NULL);
	compare("cxx5", BINUTILS_LINES, "cxx5", NULL);
	compare("cxx5", ELFUTILS, "cxx5", NULL);
}

/* How many of the object's places are in a function whose name begins so. */
static size_t count_named(const char *name, const char *beginning)
{
	enum { MAX = 4000 };
	static struct place places[MAX];
	size_t count = places_of_text(name, places, MAX), found = 0;
	_cleanup_(names_free_ptr) struct names *names = name_places(name, places, count, NULL);

	for (uint32_t i = 0; i < names->location_count; i++)
		found += !strncmp(names->texts.list[names->locations[i].function], beginning,
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

/* Newer compilers put the constraints of C++20 into linkage names, which libiberty cannot unfold:
 * then the name is DWARF's. Debian 12's write none, so they are put into the assembler's text:
 * those of gcc 14 and clang 19. */
static void test_constrained_names(void **state)
{
	write_file("constrained.cc",
		   "template <class T> concept Big = sizeof(T) > 4;\n"
		   "void *volatile keep;\n"
		   "namespace shop { struct Shelf {\n"
		   "	template <Big T> __attribute__((noinline)) void put(T v) { keep = new "
		   "T(v); }\n"
		   "}; }\n"
		   "template <Big T> __attribute__((noinline)) void make_short(T v) { keep = new "
		   "T(v); }\n"
		   "template <class T> requires Big<T> __attribute__((noinline)) void make_long(T "
		   "v) { keep = "
		   "new T(v); }\n"
		   "int main() { make_short(1.5); make_long(2l); shop::Shelf().put(3.5); }\n");
	sh("g++ -std=c++20 -g -O2 -S constrained.cc -o plain.s");
	/* gcc 14 and later write them, and the old names as aliases beside them */
	sh("grep -q Tk3Big plain.s && cp plain.s constrained.s || "
	   "sed 's/_Z10make_shortIdEvT_/_Z10make_shortITk3BigdEvT_/g; "
	   "s/_Z9make_longIlEvT_/_Z9make_longIlQ3BigIT_EEvS0_/g; "
	   "s/_ZN4shop5Shelf3putIdEEvT_/_ZN4shop5Shelf3putITk3BigdEEvT_/g' plain.s >constrained.s; "
	   "grep -q Tk3Big constrained.s && grep -q Q3Big constrained.s && "
	   "g++ constrained.s -o constrained");
	assert_true(count_named("constrained", "make_short<double>") > 5);
	/* binutils since 2.41 reads Q, not Tk */
	assert_true(count_named("constrained", "make_long<long") > 5 ||
		    count_named("constrained", "void make_long<long>(long) requires Big<long>") >
			    5);
	assert_true(count_named("constrained", "shop::Shelf::put<double>") > 5 ||
		    count_named("constrained", "void shop::Shelf::put<double>(double)") > 5);
	assert_int_equal(count_named("constrained", "_Z"), 0);
}

/* Arguments of templates may be longer than any bound: what is left out is marked, and the
 * function's own name stays. What is inlined, and has a type of a function among its arguments, has
 * no linkage name. */
static void test_long_names(void **state)
{
	static const char source[] =
		"template <class A, class B> struct a_pair_of_types_with_a_long_name {};\n"
		"template <class T> using twice = a_pair_of_types_with_a_long_name<T, T>;\n"
		"volatile int n;\n"
		"template <class T> struct Cache { template <class F>\n"
		"	void get(F f) { n = n + 7; f(); n = n * 3; } };\n"
		"int main() {\n"
		/* types of 130, 1,240 and 5,030 characters */
		"	Cache<twice<twice<int>>>().get([] { n = n + 1; });\n"
		"	Cache<twice<twice<twice<twice<twice<int>>>>>>().get([] { n = n + 2; });\n"
		"	Cache<twice<twice<twice<twice<twice<twice<twice<int>>>>>>>>()\n"
		"		.get([] { n = 3; });\n"
		"}\n";

	write_file("long.cc", source);
	sh("g++ -gdwarf-5 -O1 long.cc -o long");
	assert_true(count_named("long", "Cache<a_pair_of_types_with_a_long_name<a_pair") > 0);
	assert_true(count_named("long", "Cache<…>::get<") > 0);
	enum { MAX = 4000 };
	static struct place places[MAX];
	size_t count = places_of_text("long", places, MAX), whole = 0;
	_cleanup_(names_free_ptr) struct names *names = name_places("long", places, count, NULL);

	for (uint32_t i = 0; i < names->location_count; i++) {
		const char *name = names->texts.list[names->locations[i].function];
		size_t head = strcspn(name, "<");

		if (strncmp(name, "Cache<", 6) || strstr(name, "operator()"))
			continue;
		/* behind the type's last bracket, whatever was left out in it, stands the name */
		assert_int_equal(head, 5);
		assert_non_null(strstr(name, ">::get<"));
		whole += strlen(name) > 1100 && !strstr(name, "…");
	}
	assert_true(whole > 0);
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

/* ---- variables ------------------------------------------------------------------------------- */

/* Where a file's writable segment has an address, as if its bss were in the file, too. */
static uint64_t place_of_variable(const char *path, const char *variable)
{
	char command[512];
	uint64_t offset = 0, start = 0, addr = 0;
	_cleanup_free_ char *text = NULL;
	FILE *out;

	snprintf(command, sizeof(command),
		 "cd %s && readelf -lW %s | awk '/LOAD.* RW / { print $2, $3 }' && nm %s | awk '$3 "
		 "== \"%s\" "
		 "{ print $1 }'",
		 directory, path, path, variable);
	out = popen(command, "r");
	assert_non_null(out);
	assert_int_equal(fscanf(out, "%" SCNx64 " %" SCNx64 " %" SCNx64, &offset, &start, &addr),
			 3);
	pclose(out);
	return addr - start + offset;
}

static void check_variable(const char *path, uint64_t place, const char *name)
{
	const struct name_query query = { place, true };
	_cleanup_(names_free_ptr) struct names *names = NULL;
	_cleanup_close_ int fd = -1;
	char whole[512];

	snprintf(whole, sizeof(whole), "%s/%s", directory, path);
	fd = open(whole, O_RDONLY | O_CLOEXEC);
	assert_int_equal(data_name(fd, &query, 1, false, NULL, &names, NULL), 0);
	if (!name) {
		assert_int_equal(names->frames[0].location_count, 0);
		return;
	}
	assert_int_equal(names->frames[0].location_count, 1);
	assert_string_equal(names->texts.list[names->locations[0].function], name);
}

static void test_variables(void **state)
{
	write_file("variables.cc",
		   "namespace shop { long prices[10] = { 1 }; static long sold[100]; }\n"
		   "extern \"C\" { long first = 1; }\n"
		   "int main(int c, char **v) { shop::sold[c] = c; "
		   "return shop::sold[c + 1] + first; }\n");
	sh("g++ -O0 variables.cc -o variables && cp variables stripped && strip stripped");
	check_variable("variables", place_of_variable("variables", "first"), "first");
	check_variable("variables", place_of_variable("variables", "_ZN4shop6pricesE") + 79,
		       "shop::prices");
	check_variable("variables", place_of_variable("variables", "_ZN4shopL4soldE") + 799,
		       "shop::sold");
	check_variable("variables", 0, NULL); /* a header: no variable */
	check_variable("variables", UINT64_MAX, NULL);
	check_variable("stripped", place_of_variable("variables", "first"), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_c),
		cmocka_unit_test(test_variables),
		cmocka_unit_test(test_clang),
		cmocka_unit_test(test_cxx),
		cmocka_unit_test(test_whole_names),
		cmocka_unit_test(test_rust),
		cmocka_unit_test(test_constrained_names),
		cmocka_unit_test(test_long_names),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
