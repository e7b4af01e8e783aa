#include "object_maker.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

#define BLOCK_BYTES (1u << 20)
#define OVERLAP_BYTES 64 /* more than the longest text */
#define MAX_RANGES 256

/* Two texts of each, so that a program that only speaks of an allocator is not taken for one. Both
 * are in every release looked at: jemalloc 4 and 5, mimalloc 1.6 to 3.5, gperftools' and Google's
 * tcmalloc, LLVM's standalone scudo, CPython 3.10 to 3.14, PHP 8.2, Erlang/OTP 25. Written
 * without their first character: dhatd, looked at itself, has none of these. snmalloc and rpmalloc
 * have no text in a release build. */
static const struct {
	unsigned maker;
	char first;
	const char *rest;
} texts[] = {
	{ OBJECT_MAKER_JEMALLOC, '<', "jemalloc>: " },
	{ OBJECT_MAKER_JEMALLOC, 'n', "arenas" },
	{ OBJECT_MAKER_MIMALLOC, 'm', "imalloc: error: " },
	{ OBJECT_MAKER_MIMALLOC, 'm', "imalloc_%s" },
	{ OBJECT_MAKER_TCMALLOC, 'B', "ytes in use by application" },
	{ OBJECT_MAKER_TCMALLOC, 'B', "ytes in central cache freelist" },
	{ OBJECT_MAKER_SCUDO, 'S', "cudo ERROR: " },
	{ OBJECT_MAKER_SCUDO, 'S', "CUDO_OPTIONS" },
	{ OBJECT_MAKER_CPYTHON, '#', " arenas allocated total" },
	{ OBJECT_MAKER_CPYTHON, 'p', "ymalloc_debug" },
	{ OBJECT_MAKER_PHP, 'z', "end_mm_heap corrupted" },
	{ OBJECT_MAKER_PHP, 'U', "SE_ZEND_ALLOC" },
	{ OBJECT_MAKER_ERLANG, '=', "allocator:erts_mmap.default_mmap" },
	{ OBJECT_MAKER_ERLANG, 'm', "seg_alloc" },
};
_Static_assert(ARRAY_SIZE(texts) <= 32, "a bit for each");

static bool has_text(const char *block, size_t size, size_t text)
{
	const char *at = block, *end = block + size;

	while ((at = memmem(at, end - at, texts[text].rest, strlen(texts[text].rest)))) {
		if (at > block && at[-1] == texts[text].first)
			return true;
		at++;
	}
	return false;
}

/* ---- where to look ------------------------------------------------------------------------ */

struct range {
	uint64_t offset, size;
};

static size_t sections(struct object_reader *r, struct range ranges[MAX_RANGES])
{
	Elf_Scn *scn = NULL;
	size_t names = 0, count = 0;
	const char *name;
	GElf_Shdr sh;

	elf_getshdrstrndx(r->elf, &names);
	while (count < MAX_RANGES && (scn = elf_nextscn(r->elf, scn))) {
		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_PROGBITS ||
		    (sh.sh_flags & (SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR)) != SHF_ALLOC)
			continue;
		name = elf_strptr(r->elf, names, sh.sh_name);
		if (name && (!strncmp(name, ".eh_frame", 9) || !strncmp(name, ".gcc_except", 11)))
			continue;
		ranges[count++] = (struct range){ sh.sh_offset, sh.sh_size };
	}
	return count;
}

/* Without section headers: linkers may put read-only data beside the code. */
static size_t segments(const struct object *object, struct range ranges[MAX_RANGES])
{
	size_t i, count = 0;

	for (i = 0; i < object->desc.segment_count && count < MAX_RANGES; i++)
		if (!object->desc.segments[i].is_writable)
			ranges[count++] = (struct range){ object->desc.segments[i].file_offset,
							  object->desc.segments[i].file_size };
	return count;
}

/* ---- looking ------------------------------------------------------------------------------ */

void object_find_makers(struct object_reader *r)
{
	_cleanup_free_ char *block = malloc(BLOCK_BYTES);
	struct range ranges[MAX_RANGES];
	size_t i, k, count = r->has_sections ? sections(r, ranges) : segments(r->object, ranges);
	uint64_t at, scanned = 0;
	uint32_t found = 0;
	ssize_t n;

	for (i = 0; block && i < count; i++) {
		for (at = 0; at < ranges[i].size && scanned < OBJECT_MAKER_SCAN_BYTES; at += n) {
			n = ranges[i].size - at < BLOCK_BYTES ? ranges[i].size - at : BLOCK_BYTES;
			n = pread(r->fd, block, n, ranges[i].offset + at);
			if (n <= 0)
				break;
			for (k = 0; k < ARRAY_SIZE(texts); k++)
				if (!(found >> k & 1) && has_text(block, n, k))
					found |= 1u << k;
			scanned += n;
			if (n == BLOCK_BYTES)
				n -= OVERLAP_BYTES;
		}
	}
	r->object->desc.makers = (1u << OBJECT_MAKER_COUNT) - 1;
	for (k = 0; k < ARRAY_SIZE(texts); k++)
		if (!(found >> k & 1))
			r->object->desc.makers &= ~(1u << texts[k].maker);
}
