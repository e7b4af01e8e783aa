#pragma once
/* elf_image: an ELF file in memory, made of sections only: those of a file whose packing the
 * libraries cannot undo, or of a part of a package.
 *
 * Runs inside the worker; all sizes are the file's word and hostile. Debug sections packed by zstd
 * are unpacked here because libelf 0.188 (Debian 12) cannot; newer ones can if they were built so,
 * and one way for all is less.
 */
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_IMAGE_MAX_BYTES (1ull << 30) /* of one image: half of what the worker may have */
#define ELF_IMAGE_MAX_PARTS 64

/* Of a section. What bytes and name point to must last until the image is made. */
struct elf_image_part {
	const char *name;
	const void *bytes;
	uint64_t stored_size, size; /* size: unpacked; equal when it is not packed by zstd */
	uint64_t flags, align;	    /* of its section header; SHF_COMPRESSED: libelf unpacks it */
	bool is_zstd;
};

struct elf_image {
	Elf *elf; /* NULL: none */
	void *memory;
	uint64_t size;
};

/* -EBADMSG: not what its sizes say; -E2BIG: more than ELF_IMAGE_MAX_BYTES; -ENOMEM. */
int elf_image_make(Elf *like, const struct elf_image_part *parts, size_t count,
		   struct elf_image *ret);
/* After whatever was made from image->elf. */
void elf_image_deinit(struct elf_image *image);

/* Sections of elf that is_wanted() chooses by name, those packed by zstd unpacked. 0 and no image
 * (elf NULL) if none of them is. Otherwise as elf_image_make(). */
int elf_image_unpack(Elf *elf, bool (*is_wanted)(const char *name), struct elf_image *ret);
