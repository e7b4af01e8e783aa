/* Names from every place that debug information may be in: separate files, common files, split
 * units, packed symbol tables. */
#include "tests/unit/name_judge.h"

#include "daemon/lookup/debugfiles.h"

static int set_up(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	write_file("a.c", c_source);
	sh("mkdir include");
	write_file("include/twice.h",
		   "static inline int twice(int n) { volatile int m = n; return m * 2; }\n");
	write_file("b.cc", cxx_source);
	sh("gcc -Iinclude -gdwarf-4 -O2 a.c -o c4 && gcc -Iinclude -gdwarf-5 -O2 a.c -o c5");
	return 0;
}

/* Files are looked for as the daemon does. */
static const char *granted[8]; /* kinds of wishes that were granted */
static int granted_count;

static int grant_and_note(void *context, const struct wish *wish)
{
	static const char *const kinds[WISH_COUNT] = {
		[WISH_BUILD_ID] = "build id", [WISH_DEBUGLINK] = "debuglink",
		[WISH_ALTLINK] = "altlink",   [WISH_SPLIT] = "split",
		[WISH_PACKAGE] = "package",
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
	/* since 0.191 libdw asks for a package itself, where it may look up the object's path */
	if (expected_kind && (strcmp(expected_kind, "package") || strcmp(granted[0], "split")))
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
	snprintf(reason, sizeof(reason), "%s", names->texts.list[names->frames[0].reason]);
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
	sh("objcopy -S --remove-section .gdb_index --remove-section .comment mini.debug "
	   "mini.symbols "
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
			functions += !strcmp(names->texts.list[at->function], "compare");
		}
	names_free(names);
	assert_true(functions > 0);
}

static void test_dwz(void **state)
{
	sh("g++ -gdwarf-5 -O2 b.cc -o cxx5 && cp cxx5 dwz_one && cp cxx5 dwz_two");
	sh("dwz -m dwz_common dwz_one dwz_two");
	compare_separate("dwz_one", NULL, BINUTILS_LINES, "cxx5", "altlink");
	compare_separate("dwz_two", NULL, BINUTILS_LINES, "cxx5", "altlink");
	/* all in one file */
	sh("cp cxx5 dwz_alone && dwz dwz_alone");
	compare_separate("dwz_alone", NULL, BINUTILS_LINES, "cxx5", NULL);
}

static const char no_split[] =
	"line and inlined calls unknown: its split debug file (.dwo or .dwp) was not found";

/* With the files that are in the test's directory. */
static const char *reason_in_directory(const char *name, uint64_t file_offset)
{
	char path[300];
	struct debugfiles files = { .root_fd = -1, .uid = getuid(), .object_path = path };
	const struct wish_granter granter = { .grant = debugfiles_grant, .context = &files };

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return reason_at(name, file_offset, &granter);
}

/* A copy in which .debug_info says that it unpacks to so many bytes. */
static void patch_packed_size(const char *from, const char *to, uint64_t size)
{
	char path[300];
	Elf_Scn *section = NULL;
	uint64_t offset = 0;
	size_t names;
	int fd;
	Elf *elf;

	sh("cp %s %s", from, to);
	snprintf(path, sizeof(path), "%s/%s", directory, to);
	fd = open(path, O_RDWR | O_CLOEXEC);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	assert_non_null(elf);
	assert_int_equal(elf_getshdrstrndx(elf, &names), 0);
	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;

		assert_non_null(gelf_getshdr(section, &header));
		if (!strcmp(elf_strptr(elf, names, header.sh_name), ".debug_info"))
			offset = header.sh_offset;
	}
	elf_end(elf);
	assert_true(offset);
	assert_int_equal(pwrite(fd, &size, sizeof(size), offset + offsetof(Elf64_Chdr, ch_size)),
			 sizeof(size));
	close(fd);
}

static void test_split(void **state)
{
	static struct place places[MAX_PLACES];
	size_t without_lines = 0, outer = 0;
	struct names *names;

	sh("gcc -Iinclude -gsplit-dwarf -gdwarf-5 -O2 a.c -o split5");
	sh("gcc -Iinclude -gsplit-dwarf -gdwarf-4 -O2 a.c -o split4");
	/* no judge here reads split DWARF; the code is that of the whole ones */
	compare_separate("split5", NULL, BINUTILS, "c5", "split");
	compare_separate("split4", NULL, BINUTILS, "c4", "split");
	sh("cp split5-a.dwo keep.dwo && objcopy --compress-debug-sections=zstd split5-a.dwo");
	compare_separate("split5", NULL, BINUTILS, "c5", "split");
	/* Without the file the outer functions remain, and the frames say why there is no more. Not
	 * lines: that of malloc() in leaf() is none of outer(), whose name is all that is left. */
	sh("mv split5-a.dwo hidden.dwo");
	names = name_places("split5", places, places_of_text("split5", places, MAX_PLACES), NULL);
	for (uint32_t i = 0; i < names->frame_count; i++) {
		const struct name_frame *frame = &names->frames[i];

		if (!frame->location_count || !*names->texts.list[frame->reason])
			continue; /* of libc's start files */
		without_lines++;
		assert_string_equal(names->texts.list[frame->reason], no_split);
		assert_int_equal(frame->location_count, 1);
		assert_int_equal(names->locations[frame->first_location].line, 0);
		assert_int_equal(names->locations[frame->first_location].file, 0);
		outer +=
			!strcmp(names->texts.list[names->locations[frame->first_location].function],
				"outer");
	}
	names_free(names);
	assert_true(without_lines > 100 && outer > 5);
}

/* All split files of a program in one: DWARF 5's index, and the older one, and
 * what rustc makes. */
static void test_package(void **state)
{
	write_file("twice.c",
		   "extern void *outer(int n);\nvoid *again(int n) { return outer(n * 2); }\n");
	sh("gcc -Iinclude -gsplit-dwarf -gdwarf-5 -O2 a.c -o packed5 && "
	   "llvm-dwp -e packed5 -o packed5.dwp && rm packed5-a.dwo");
	compare_separate("packed5", NULL, BINUTILS, "c5", "package");
	sh("objcopy --compress-debug-sections=zstd packed5.dwp");
	compare_separate("packed5", NULL, BINUTILS, "c5", "package");
	sh("mkdir -p root/bin root/usr/lib/debug/bin && mv packed5.dwp root/usr/lib/debug/bin/");
	compare_separate("packed5", "root", BINUTILS, "c5", "package");
	sh("gcc -Iinclude -gsplit-dwarf -gdwarf-4 -O2 a.c -o packed4 && "
	   "llvm-dwp -e packed4 -o packed4.dwp && rm packed4-a.dwo");
	compare_separate("packed4", NULL, BINUTILS, "c4", "package");
	/* two units, each with strings of its own in one section */
	write_file("more.c",
		   "#include <stdlib.h>\n"
		   "static inline __attribute__((always_inline)) void *more_leaf(int n) { return "
		   "malloc(n); }\n"
		   "void *more_outer(int n) { return n > 7 ? more_leaf(n * 3) : NULL; }\n");
	sh("gcc -Iinclude -gsplit-dwarf -gdwarf-5 -O2 a.c more.c -o two && "
	   "llvm-dwp -e two -o two.dwp && rm two-a.dwo two-more.dwo");
	sh("gcc -Iinclude -gdwarf-5 -O2 a.c more.c -o two_whole");
	compare_separate("two", NULL, BINUTILS, "two_whole", "package");
}

/* What rustc packs, of many units; and the skeletons with children that it has written once. */
static void test_package_of_rust(void **state)
{
	static struct place places[MAX_PLACES];
	size_t count, without_lines = 0;
	struct names *names;

	write_file("many.rs",
		   "use std::collections::BTreeMap;\n"
		   "mod a { pub fn one(n: usize) -> String { format!(\"{}\", n) } }\n"
		   "mod b { pub fn two(n: usize) -> Vec<String> { "
		   "(0..n).map(super::a::one).collect() } }\n"
		   "fn main() { let v = b::two(std::env::args().count() * 9);\n"
		   "    let m: BTreeMap<_, _> = v.iter().map(|s| (s.len(), s.clone())).collect();\n"
		   "    println!(\"{:?} {}\", m, v.join(\" \")); }\n");
	sh("/usr/bin/rustc -g -C opt-level=1 -C codegen-units=8 many.rs -o many_whole");
	/* (stable since 1.65) */
	sh("RUSTC_BOOTSTRAP=1 /usr/bin/rustc -g -C opt-level=1 -C codegen-units=8 -Z "
	   "unstable-options "
	   "-Z split-dwarf-inlining=no -C split-debuginfo=packed many.rs -o many");
	compare_separate("many", NULL, BINUTILS, "many_whole", "package");
	sh("RUSTC_BOOTSTRAP=1 /usr/bin/rustc -g -C opt-level=1 -C codegen-units=8 -Z "
	   "unstable-options "
	   "-Z split-dwarf-inlining=yes -C split-debuginfo=packed many.rs -o many");
	count = places_of_text("many", places, MAX_PLACES);
	names = name_places("many", places, count, NULL);
	for (uint32_t i = 0; i < names->frame_count; i++) {
		const struct name_frame *frame = &names->frames[i];

		if (!strstr(names->texts.list[frame->reason], "skeleton with children"))
			continue;
		without_lines++;
		for (uint32_t j = 0; j < frame->location_count; j++)
			assert_int_equal(names->locations[frame->first_location + j].line, 0);
	}
	names_free(names);
	assert_true(without_lines > 10);
}

/* A package that lacks the unit, is cut off, or is another program's. */
static void test_wrong_package(void **state)
{
	static struct place places[MAX_PLACES];

	sh("gcc -Iinclude -gsplit-dwarf -gdwarf-5 -O2 a.c -o lacking && rm lacking-a.dwo");
	sh("gcc -DOTHER -Iinclude -gsplit-dwarf -gdwarf-5 -O1 a.c -o other && "
	   "llvm-dwp -e other -o lacking.dwp");
	places_of_text("lacking", places, MAX_PLACES);
	assert_string_equal(reason_in_directory("lacking", places[100].file_offset), no_split);
	for (int size = 0; size < 3000; size += 61) {
		sh("cp other lacking_cut && llvm-dwp -e other -o whole.dwp && "
		   "head -c %d whole.dwp >lacking.dwp",
		   size);
		assert_string_equal(reason_in_directory("lacking", places[100].file_offset),
				    no_split);
	}
}

static void test_compressed(void **state)
{
	static struct place places[MAX_PLACES];

	/* libdw reads it since 0.189, if it was built so; Debian 12's and 13's gcc write it with
	 * -gz=zstd */
	sh("objcopy --compress-debug-sections=zstd c5 zstd5");
	sh("objcopy --compress-debug-sections=zstd c4 zstd4");
	sh("g++ -gdwarf-5 -O2 b.cc -o cxx5 && objcopy --compress-debug-sections=zstd cxx5 "
	   "zstd_cxx");
	compare("zstd5", BINUTILS, "c5", NULL);
	compare("zstd4", BINUTILS, "c4", NULL);
	compare("zstd_cxx", BINUTILS_LINES, "cxx5", NULL);
	sh("gcc -Iinclude -g -O2 -Wl,--build-id=none a.c -o linked_full");
	sh("objcopy --only-keep-debug --compress-debug-sections=zstd linked_full packed.debug");
	sh("objcopy -S --add-gnu-debuglink=packed.debug linked_full linked");
	compare_separate("linked", NULL, BINUTILS, "linked_full", "debuglink");
	sh("cp cxx5 dwz_z1 && cp cxx5 dwz_z2 && dwz -m dwz_z dwz_z1 dwz_z2 && "
	   "objcopy --compress-debug-sections=zstd dwz_z && "
	   "objcopy --compress-debug-sections=zstd dwz_z1");
	compare_separate("dwz_z1", NULL, BINUTILS_LINES, "cxx5", "altlink");
	/* what they say of their size is not believed */
	places_of_text("zstd5", places, MAX_PLACES);
	assert_string_equal(reason_at("zstd5", places[100].file_offset, NULL), "");
	patch_packed_size("zstd5", "zstd_huge", 1ull << 40);
	assert_string_equal(reason_at("zstd_huge", places[100].file_offset, NULL),
			    "no lines: its debug information, packed by zstd, is too large to be "
			    "unpacked (more than 1 GiB)");
	patch_packed_size("zstd5", "zstd_wrong", 100);
	assert_string_equal(reason_at("zstd_wrong", places[100].file_offset, NULL),
			    "no lines: its debug information, packed by zstd, cannot be unpacked");
	patch_packed_size("zstd5", "zstd_empty", 0);
	assert_string_equal(reason_at("zstd_empty", places[100].file_offset, NULL),
			    "no lines: its debug information, packed by zstd, cannot be unpacked");
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
		cmocka_unit_test(test_debuglink),     cmocka_unit_test(test_wrong_debuglink),
		cmocka_unit_test(test_build_id),      cmocka_unit_test(test_mini_debug_info),
		cmocka_unit_test(test_dwz),	      cmocka_unit_test(test_split),
		cmocka_unit_test(test_package),	      cmocka_unit_test(test_package_of_rust),
		cmocka_unit_test(test_wrong_package), cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_symbols_only),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
