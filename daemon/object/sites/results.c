#include "results.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/object/machine/machine.h"
#include "daemon/object/machine/references.h"
#include "daemon/object/machine/result_sites.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define CHUNK_BYTES 4096
#define MAX_CHUNKS 512 /* what is called beyond them is not read */

struct chunk {
	uint64_t vaddr;
	size_t size;
	uint8_t *code;
};

struct file {
	int fd;
	const struct object *object;
	const struct object_symbol *symbol; /* of the function that is looked at */
	struct chunk *chunks;
	size_t count, room;
};

static void file_deinit(struct file *file)
{
	for (size_t i = 0; i < file->count; i++)
		free(file->chunks[i].code);
	free(file->chunks);
}

/* No instruction begins in a chunk and ends behind it. */
static bool fetch_read(const struct file *file, uint64_t vaddr, const uint8_t **ret_code,
		       size_t *ret_size)
{
	for (size_t i = 0; i < file->count; i++) {
		const struct chunk *chunk = &file->chunks[i];
		uint64_t offset = vaddr - chunk->vaddr;

		if (offset >= chunk->size ||
		    (chunk->size == CHUNK_BYTES &&
		     chunk->size - offset < this_machine.longest_instruction_bytes))
			continue;
		*ret_code = chunk->code + offset;
		*ret_size = chunk->size - offset;
		return true;
	}
	return false;
}

static bool fetch(void *context, uint64_t vaddr, const uint8_t **ret_code, size_t *ret_size)
{
	_cleanup_free_ uint8_t *code = NULL;
	struct file *file = context;
	uint64_t offset;
	ssize_t n;

	if (fetch_read(file, vaddr, ret_code, ret_size))
		return true;
	if (file->count == MAX_CHUNKS || !object_offset_of_vaddr(file->object, vaddr, &offset) ||
	    array_make_room(&file->chunks, &file->room, file->count))
		return false;
	code = malloc(CHUNK_BYTES);
	n = code ? pread(file->fd, code, CHUNK_BYTES, offset) : 0;
	if (n <= 0)
		return false;
	file->chunks[file->count++] = (struct chunk){ vaddr, n, take_ptr(code) };
	return fetch_read(file, vaddr, ret_code, ret_size);
}

/* ---- who comes into a function's code ------------------------------------------------------ */

#define BLOCK_BYTES (1u << 20)

struct reached {
	const uint64_t *vaddrs;
	size_t count;
	uint64_t entry;
};

/* The last one that begins at or before vaddr; 0: none does. */
static uint64_t last_before(const struct reached *reached, uint64_t vaddr)
{
	size_t low = 0, high = reached->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (reached->vaddrs[middle] <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? reached->vaddrs[low - 1] : 0;
}

static bool comes_from_elsewhere(const struct reached *reached, const struct reference *reference)
{
	return reference->target != reached->entry &&
	       last_before(reached, reference->target) == reference->target &&
	       reference->vaddr - last_before(reached, reference->vaddr) >=
		       this_machine.longest_instruction_bytes;
}

static bool has_reference(const uint8_t *bytes, size_t size, uint64_t vaddr,
			  const struct reached *reached)
{
	struct reference reference;

	for (size_t at = 0;
	     references_next(bytes, size, vaddr, REFERENCE_CALL | REFERENCE_JUMP, &at, &reference);)
		if (comes_from_elsewhere(reached, &reference))
			return true;
	return false;
}

/* Whoever shares code with a function has jumped out of it: nobody jumps into one's middle. */
static bool is_all_its_own(const struct file *file, const struct reached *reached)
{
	uint64_t start = file->symbol->vaddr;

	return reached->vaddrs[0] >= start &&
	       reached->vaddrs[reached->count - 1] - start < file->symbol->code_size;
}

/* What cannot be read may hold anything. */
static bool is_shared(void *context, const uint64_t *vaddrs, size_t count, uint64_t entry)
{
	const struct reached reached = { vaddrs, count, entry };
	_cleanup_free_ uint8_t *block = malloc(BLOCK_BYTES);
	const struct file *file = context;

	if (is_all_its_own(file, &reached))
		return false;
	for (size_t i = 0; block && i < file->object->desc.segment_count; i++) {
		const struct object_segment *segment = &file->object->desc.segments[i];

		for (uint64_t at = 0; segment->is_executable && at < segment->file_size;) {
			ssize_t n = pread(file->fd, block, BLOCK_BYTES, segment->file_offset + at);

			if (n <= 0 || has_reference(block, n, segment->vaddr + at, &reached))
				return true;
			at += n < (ssize_t)BLOCK_BYTES ? n
						       : n - this_machine.longest_instruction_bytes;
		}
	}
	return !block;
}

struct addresses {
	uint64_t *list;
	size_t count, room;
};

static int add(struct addresses *addresses, uint64_t vaddr)
{
	if (array_make_room(&addresses->list, &addresses->room, addresses->count))
		return -ENOMEM;
	addresses->list[addresses->count++] = vaddr;
	return 0;
}

/* A function, and the PLT entries that lead to it. */
static int add_with_stubs(struct addresses *addresses, const struct object *object, uint64_t vaddr)
{
	int r = vaddr == OBJECT_RETURNS_ARGUMENT ? 0 : add(addresses, vaddr);

	for (size_t i = 0; i < object->stub_count && r == 0; i++)
		if (object->stubs[i].target == vaddr)
			r = add(addresses, object->stubs[i].vaddr);
	return r;
}

/* A product that wraps is a call that fails: no allocator hands out what was not asked for. */
static enum result_size size_of(const struct allocator_site *site)
{
	return site->function.role == DHAT_ROLE_CALLOC ? RESULT_SIZE_PRODUCT : RESULT_SIZE_ARGUMENT;
}

/* The argument that is the size. */
static uint8_t size_argument_of(const struct allocator_site *site)
{
	return site->function.arg[site->function.role == DHAT_ROLE_MEMALIGN ? 1 : 0];
}

/* Why all calls of such a function are seen at their entry and their end, whatever its code; NULL:
 * its code decides. */
static const char *why_two_traps(const struct allocator_site *site)
{
	switch (site->function.role) {
	case DHAT_ROLE_MALLOC:
	case DHAT_ROLE_MEMALIGN:
		return NULL;
	case DHAT_ROLE_CALLOC:
		return site->function.arg[0] == 0 && site->function.arg[1] == 1
			       ? NULL
			       : "its factors are not its first arguments";
	case DHAT_ROLE_REALLOC:
	case DHAT_ROLE_REALLOCARRAY:
	case DHAT_ROLE_REALLOCF:
		return "the old block has to be told of before another is known";
	case DHAT_ROLE_RESIZE:
		return "it hands out no address, but says if a block has grown";
	case DHAT_ROLE_POSIX_MEMALIGN:
	case DHAT_ROLE_REALLOCARR:
	case DHAT_ROLE_DUPENV:
		return "it returns an error number, and the block is in memory";
	case DHAT_ROLE_PVALLOC:
		return "its blocks have more bytes than are asked for";
	case DHAT_ROLE_STRDUP:
	case DHAT_ROLE_REALPATH:
		return "the size of its block is that of the string in it";
	default:
		return "";
	}
}

static void note_two_traps(struct allocator_site *site, const char *why)
{
	if (*why && !*site->place.note)
		snprintf(site->place.note, sizeof(site->place.note), "two traps: %s", why);
}

static int find_in(const struct code_source *source, bool may_execute, struct allocator_site *site)
{
	struct result_sites results = { 0 };
	char why[RESULT_WHY] = "";
	const struct result_question question = {
		.vaddr = site->symbol->vaddr,
		.size = size_of(site),
		.argument = size_argument_of(site),
		.may_execute = may_execute,
		.with_entries = site->returns == SITE_RETURNS_PROBE,
	};
	int r = result_sites_find(source, &question, &results, why);

	if (r == -ENOTSUP) {
		note_two_traps(site, why);
		return 0;
	}
	if (r < 0)
		return r;
	site->results = results;
	site->returns = SITE_RETURNS_RESULTS;
	free(site->exits);
	site->exits = NULL;
	site->exit_count = 0;
	return 0;
}

int results_find(int fd, const struct object *object, bool may_execute,
		 struct allocator_site *sites, size_t count)
{
	_cleanup_(file_deinit) struct file file = { .fd = fd, .object = object };
	struct addresses by_itself = { 0 }, returns_argument = { 0 };
	struct code_source source = {
		.fetch = fetch,
		.context = &file,
		.is_shared = is_shared,
		.noreturn = object->noreturn,
		.noreturn_count = object->noreturn_count,
	};
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		if (!sites[i].is_refused)
			r = add_with_stubs(&by_itself, object, sites[i].symbol->vaddr);
	if (r == 0)
		r = add_with_stubs(&returns_argument, object, OBJECT_RETURNS_ARGUMENT);
	source.by_itself = by_itself.list;
	source.by_itself_count = by_itself.count;
	source.returns_argument = returns_argument.list;
	source.returns_argument_count = returns_argument.count;
	for (size_t i = 0; i < count && r == 0; i++) {
		const char *why = why_two_traps(&sites[i]);

		if (sites[i].is_refused)
			continue;
		if (why) {
			note_two_traps(&sites[i], why);
			continue;
		}
		file.symbol = sites[i].symbol;
		r = find_in(&source, may_execute, &sites[i]);
	}
	free(by_itself.list);
	free(returns_argument.list);
	return r;
}
