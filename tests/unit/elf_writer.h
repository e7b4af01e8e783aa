#pragma once
/* elf_writer: small ELF files with hand-made .eh_frame sections, for tests. */
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WRITER_BYTES 65536
#define WRITER_BASE 0x400000 /* link-time address of the file's first byte */
#define WRITER_CFI_OFFSET 0x1000

struct writer {
	uint8_t cfi[WRITER_BYTES];
	size_t size;
	uint8_t image[2 * WRITER_BYTES];
	size_t image_size;
};

static inline void put(struct writer *w, uint64_t value, size_t size)
{
	memcpy(w->cfi + w->size, &value, size);
	w->size += size;
}

static inline void put_bytes(struct writer *w, const void *bytes, size_t size)
{
	memcpy(w->cfi + w->size, bytes, size);
	w->size += size;
}

/* Pads the entry that began at `start` with nops and writes its length. */
static inline void end_entry(struct writer *w, size_t start)
{
	uint32_t length;

	while ((w->size - start) % 8)
		put(w, 0, 1);
	length = (uint32_t)(w->size - start - 4);
	memcpy(w->cfi + start, &length, 4);
}

/* CFA = rsp + 8, return address at CFA - 8, addresses as `encoding` says. */
static inline size_t put_cie(struct writer *w, const char *augmentation, uint8_t encoding)
{
	static const uint8_t program[] = { 0x0c, 7, 8, 0x90, 1 };
	size_t start = w->size;

	put(w, 0, 4); /* length */
	put(w, 0, 4); /* a CIE */
	put(w, 1, 1); /* version */
	put_bytes(w, augmentation, strlen(augmentation) + 1);
	put(w, 1, 1);	 /* code alignment */
	put(w, 0x78, 1); /* data alignment -8 */
	put(w, 16, 1);	 /* return address register */
	if (augmentation[0] == 'z') {
		put(w, 1, 1);
		put(w, encoding, 1);
	}
	put_bytes(w, program, sizeof(program));
	end_entry(w, start);
	return start;
}

/* An FDE for [vaddr, vaddr + size); the CIE's encoding must be pcrel sdata4 (0x1b). */
static inline void put_fde(struct writer *w, size_t cie, uint64_t vaddr, uint32_t size,
			   const void *program, size_t program_size)
{
	size_t start = w->size;

	put(w, 0, 4);
	put(w, w->size - cie, 4); /* distance back to the CIE */
	put(w, vaddr - (WRITER_BASE + WRITER_CFI_OFFSET + w->size), 4);
	put(w, size, 4);
	put(w, 0, 1); /* no augmentation data */
	put_bytes(w, program, program_size);
	end_entry(w, start);
}

/* A library for x86-64: one executable segment of 16 MiB of memory, and .eh_frame. */
static inline void put_elf(struct writer *w)
{
	static const char names[] = "\0.eh_frame\0.shstrtab";
	Elf64_Ehdr *ehdr = (Elf64_Ehdr *)w->image;
	Elf64_Phdr *phdr = (Elf64_Phdr *)(ehdr + 1);
	Elf64_Shdr *shdr;
	size_t at = WRITER_CFI_OFFSET;

	memset(w->image, 0, sizeof(w->image));
	memcpy(w->image + at, w->cfi, w->size);
	at += w->size;
	memcpy(w->image + at, names, sizeof(names));
	at = (at + sizeof(names) + 63) & ~(size_t)63;
	shdr = (Elf64_Shdr *)(w->image + at);
	*ehdr = (Elf64_Ehdr){
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(*ehdr),
		.e_shoff = at,
		.e_ehsize = sizeof(*ehdr),
		.e_phentsize = sizeof(*phdr),
		.e_phnum = 1,
		.e_shentsize = sizeof(*shdr),
		.e_shnum = 3,
		.e_shstrndx = 2,
	};
	*phdr = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_vaddr = WRITER_BASE,
		.p_filesz = at,
		.p_memsz = 16 << 20,
	};
	shdr[1] = (Elf64_Shdr){
		.sh_name = 1,
		.sh_type = SHT_PROGBITS,
		.sh_flags = SHF_ALLOC,
		.sh_addr = WRITER_BASE + WRITER_CFI_OFFSET,
		.sh_offset = WRITER_CFI_OFFSET,
		.sh_size = w->size,
		.sh_addralign = 8,
	};
	shdr[2] = (Elf64_Shdr){
		.sh_name = 11,
		.sh_type = SHT_STRTAB,
		.sh_offset = WRITER_CFI_OFFSET + w->size,
		.sh_size = sizeof(names),
	};
	w->image_size = at + 3 * sizeof(*shdr);
}
