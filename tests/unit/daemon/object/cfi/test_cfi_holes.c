#include <fcntl.h>
#include <gelf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/object/cfi/cfi_holes.h"
#include "daemon/object/machine/frame_code.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

#define TEXT 0x401000
#define BLOCK FRAME_CODE_BLOCK_BYTES

static const char names[] = "\0.text\0.shstrtab\0.other";
static const char symbol_names[] = "\0abort";
static uint8_t *text;
static size_t text_size;
static struct cfi_code_piece *pieces;
static size_t piece_count;
static const Elf64_Rela *relocations;
static size_t relocation_count;

static int begin(void **state)
{
	elf_version(EV_CURRENT);
	return 0;
}

static int end(void **state)
{
	free(text);
	free(pieces);
	text = NULL;
	pieces = NULL;
	relocation_count = 0;
	return 0;
}

static void make_text(size_t size)
{
	text = malloc(size);
	text_size = size;
	assert_non_null(text);
	memset(text, 0x90, size);
}

/* count functions from an offset on, of 8 bytes each, that keep frame pointers or not. */
static void put_functions(size_t at, size_t count, bool has_frame)
{
	static const uint8_t with[] = { 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd0, 0x5d, 0xc3 };
	static const uint8_t without[] = { 0x50, 0xff, 0xd0, 0x90, 0x90, 0x90, 0x58, 0xc3 };

	for (; count; count--, at += 8)
		memcpy(text + at, has_frame ? with : without, 8);
}

static Elf_Scn *add_section(Elf *elf, GElf_Shdr header, void *bytes, size_t size)
{
	Elf_Scn *section = elf_newscn(elf);
	Elf_Data *data = elf_newdata(section);
	GElf_Shdr shdr;

	gelf_getshdr(section, &shdr);
	shdr = header;
	data->d_buf = bytes;
	data->d_size = size;
	data->d_align = 16;
	gelf_update_shdr(section, &shdr);
	return section;
}

static Elf64_Sym symbols[] = { {},
			       { .st_name = 1, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC) } };

static Elf_Data *data_of(Elf_Scn *section, Elf_Type type)
{
	Elf_Data *data = elf_getdata(section, NULL);

	data->d_type = type;
	return data;
}

/* A file with that one section of code, and its relocations. */
static int make_file(void)
{
	int fd = memfd_create("holes", 0);
	Elf *elf = elf_begin(fd, ELF_C_WRITE, NULL);
	GElf_Ehdr header = {};

	gelf_newehdr(elf, ELFCLASS64);
	gelf_getehdr(elf, &header);
	header.e_ident[EI_DATA] = ELFDATA2LSB;
	header.e_machine = EM_X86_64;
	header.e_type = ET_DYN;
	header.e_version = EV_CURRENT;
	add_section(elf,
		    (GElf_Shdr){ .sh_name = 1,
				 .sh_type = SHT_PROGBITS,
				 .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
				 .sh_addr = TEXT },
		    text, text_size);
	add_section(elf, (GElf_Shdr){ .sh_name = 17, .sh_type = SHT_STRTAB },
		    without_qualifiers(symbol_names), sizeof(symbol_names));
	data_of(add_section(elf,
			    (GElf_Shdr){ .sh_name = 17,
					 .sh_type = SHT_DYNSYM,
					 .sh_link = 2,
					 .sh_flags = SHF_ALLOC,
					 .sh_entsize = sizeof(*symbols) },
			    symbols, sizeof(symbols)),
		ELF_T_SYM);
	if (relocation_count)
		data_of(add_section(elf,
				    (GElf_Shdr){ .sh_name = 17,
						 .sh_type = SHT_RELA,
						 .sh_link = 3,
						 .sh_flags = SHF_ALLOC,
						 .sh_entsize = sizeof(*relocations) },
				    without_qualifiers(relocations),
				    relocation_count * sizeof(*relocations)),
			ELF_T_RELA);
	header.e_shstrndx = (GElf_Half)elf_ndxscn(
		add_section(elf, (GElf_Shdr){ .sh_name = 7, .sh_type = SHT_STRTAB },
			    without_qualifiers(names), sizeof(names)));
	gelf_update_ehdr(elf, &header);
	assert_true(elf_update(elf, ELF_C_WRITE) > 0);
	elf_end(elf);
	return fd;
}

static void read_holes(const struct cfi_span *covered, size_t covered_count, uint64_t entry)
{
	_cleanup_close_ int fd = make_file();
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	uint32_t unread = 1;

	assert_int_equal(
		cfi_holes_read(elf, covered, covered_count, entry, &pieces, &piece_count, &unread),
		0);
	assert_int_equal(unread, 0);
	elf_end(elf);
}

static void expect(size_t i, uint64_t start, uint64_t stop, enum dhat_cfa cfa)
{
	assert_true(i < piece_count);
	assert_int_equal(pieces[i].start, TEXT + start);
	assert_int_equal(pieces[i].end, TEXT + stop);
	assert_int_equal(pieces[i].row.cfa, cfa);
}

/* Blocks in which nothing begins or ends are as the one before. */
static void test_frame_pointers_by_blocks(void **state)
{
	make_text(5 * BLOCK);
	put_functions(0, 10, true);
	put_functions(2 * BLOCK, 10, false);
	put_functions(4 * BLOCK + 100, 10, true);
	read_holes(NULL, 0, 0);
	assert_int_equal(piece_count, 2);
	expect(0, 0, 2 * BLOCK, DHAT_CFA_CHAIN);
	expect(1, 4 * BLOCK, 5 * BLOCK, DHAT_CFA_CHAIN);
}

/* Code with CFI has no part in it; a hole of its own begins behind it. */
static void test_beside_what_is_covered(void **state)
{
	struct cfi_span covered[] = { { TEXT + 80, TEXT + BLOCK },
				      { TEXT + 2 * BLOCK, UINT64_MAX } };

	make_text(3 * BLOCK);
	put_functions(0, 10, true);
	put_functions(80, 100, false);
	put_functions(2 * BLOCK, 100, true);
	read_holes(covered, 2, 0);
	assert_int_equal(piece_count, 1);
	expect(0, 0, 80, DHAT_CFA_CHAIN);
}

/* What was read is better; the rest of it is between. */
static void test_instructions_come_first(void **state)
{
	make_text(BLOCK);
	put_functions(0, 10, true);
	memcpy(text + 32, (uint8_t[]){ 0x31, 0xed, 0xff, 0xd0, 0xf4 }, 5); /* the entry point */
	read_holes(NULL, 0, TEXT + 32);
	assert_int_equal(piece_count, 3);
	expect(0, 0, 32, DHAT_CFA_CHAIN);
	expect(1, 32, 37, DHAT_CFA_END);
	expect(2, 37, BLOCK, DHAT_CFA_CHAIN);
}

/* So it is where there is too much code to read all of it: stacks end at the entry point. */
static void test_the_entry_point_is_always_read(void **state)
{
	const size_t size = 5 << 20;

	make_text(size);
	put_functions(0, size / 8, true);
	memcpy(text + 3 * BLOCK + 32, (uint8_t[]){ 0x31, 0xed, 0xff, 0xd0, 0xf4 }, 5);
	read_holes(NULL, 0, TEXT + 3 * BLOCK + 32);
	assert_int_equal(piece_count, 3);
	expect(0, 0, 3 * BLOCK + 32, DHAT_CFA_CHAIN);
	expect(1, 3 * BLOCK + 32, 3 * BLOCK + 37, DHAT_CFA_END);
	expect(2, 3 * BLOCK + 37, size, DHAT_CFA_CHAIN);
}

/* Nobody calls the function but through a pointer; what it calls by way of a slot does not return.
 * The other pointer leads to the middle of something. */
static void test_pointers_to_code(void **state)
{
	const Elf64_Rela list[] = {
		{ .r_offset = TEXT + 0x10000,
		  .r_info = ELF64_R_INFO(0, R_X86_64_RELATIVE),
		  .r_addend = TEXT + 64 },
		{ .r_offset = TEXT + 0x10008,
		  .r_info = ELF64_R_INFO(0, R_X86_64_RELATIVE),
		  .r_addend = TEXT + 129 },
		{ .r_offset = TEXT + 0x10010, .r_info = ELF64_R_INFO(1, R_X86_64_GLOB_DAT) },
	};

	relocations = list;
	relocation_count = ARRAY_SIZE(list);
	make_text(BLOCK);
	memcpy(text + 64, (uint8_t[]){ 0x53, 0x85, 0xff, 0x74, 0x02, 0x5b, 0xc3 }, 7);
	memcpy(text + 71, (uint8_t[]){ 0xff, 0x15, 0xc3, 0xff, 0, 0 }, 6); /* call *10010(rip) */
	memcpy(text + 126, (uint8_t[]){ 0x31, 0xc0, 0x31, 0x53, 0x5b, 0xc3 }, 6);
	read_holes(NULL, 0, 0);
	assert_int_equal(piece_count, 4);
	expect(0, 64, 65, DHAT_CFA_SP);
	expect(1, 65, 70, DHAT_CFA_SP);
	expect(2, 70, 71, DHAT_CFA_SP);
	expect(3, 71, 77, DHAT_CFA_SP);
	assert_int_equal(pieces[3].row.cfa_offset, 16);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_frame_pointers_by_blocks), TEST(test_beside_what_is_covered),
		TEST(test_instructions_come_first),  TEST(test_the_entry_point_is_always_read),
		TEST(test_pointers_to_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
