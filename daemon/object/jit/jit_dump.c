#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jit_names.h"
#include "jit_reader.h"

#define MAGIC 0x4a695444 /* "JiTD", as a machine of our byte order writes it */

struct file_head {
	uint32_t magic, version, total_size, elf_machine, pad, pid;
	uint64_t timestamp, flags;
};

enum { CODE_LOAD = 0, CODE_MOVE = 1, CODE_CLOSE = 3 };

struct record_head {
	uint32_t id, total_size;
	uint64_t timestamp;
};

struct code_load { /* behind the head; then the name with its NUL, then the code */
	uint32_t pid, tid;
	uint64_t vma, addr, size, index;
};

struct code_move { /* behind the head */
	uint32_t pid, tid;
	uint64_t vma, old_addr, new_addr, size, index;
};

/* bytes: a record from its head on, as far as its name may go; at: where it stands in the file. */
typedef void record_visit(struct jit_reader *reader, uint32_t id, const uint8_t *bytes, size_t size,
			  uint64_t at);

bool jit_is_dump(const uint8_t *bytes, size_t size)
{
	uint32_t magic = MAGIC;

	return size >= sizeof(magic) && !memcmp(bytes, &magic, sizeof(magic));
}

/* The name's length; -1: it is no such record. */
static ssize_t parse_load(const uint8_t *bytes, size_t size, struct code_load *ret)
{
	size_t name_from = sizeof(struct record_head) + sizeof(*ret);
	const uint8_t *end;

	if (size <= name_from)
		return -1;
	memcpy(ret, bytes + sizeof(struct record_head), sizeof(*ret));
	end = memchr(bytes + name_from, '\0', size - name_from);
	return end ? end - bytes - (ssize_t)name_from : -1;
}

static uint64_t name_of(uint64_t load_at)
{
	return load_at + sizeof(struct record_head) + sizeof(struct code_load);
}

static void read_code(struct jit_reader *reader, uint32_t id, const uint8_t *bytes, size_t size,
		      uint64_t at)
{
	struct code_load load;
	struct code_move move;
	ssize_t name_size = id == CODE_LOAD ? parse_load(bytes, size, &load) : -1;

	if (name_size >= 0) {
		jit_claim(reader, load.addr, load.size, name_of(at), name_size);
	} else if (id == CODE_MOVE && size >= sizeof(struct record_head) + sizeof(move)) {
		memcpy(&move, bytes + sizeof(struct record_head), sizeof(move));
		jit_claim_moved(reader, move.new_addr, move.size, move.index, at);
	}
}

/* Those that nothing has moved to are last. */
static int by_moved_code(const void *a_, const void *b_)
{
	const struct jit_place *a = a_, *b = b_;

	if (!a->moved_at != !b->moved_at)
		return a->moved_at ? -1 : 1;
	return a->moved_code < b->moved_code ? -1 : a->moved_code > b->moved_code;
}

/* The second time, for code that has moved: the name that its number had before. */
static void name_moved(struct jit_reader *reader, uint32_t id, const uint8_t *bytes, size_t size,
		       uint64_t at)
{
	struct code_load load;
	ssize_t name_size = id == CODE_LOAD ? parse_load(bytes, size, &load) : -1;
	struct jit_place wanted = { .moved_at = 1 }, *place;

	if (name_size < 0)
		return;
	wanted.moved_code = load.index;
	place = bsearch(&wanted, reader->places, reader->count, sizeof(*place), by_moved_code);
	if (!place)
		return;
	while (place > reader->places && by_moved_code(place - 1, &wanted) == 0)
		place--;
	for (; place < reader->places + reader->count && by_moved_code(place, &wanted) == 0 &&
	       reader->claims < JIT_MAX_CLAIMS;
	     place++, reader->claims++) {
		if (place->moved_at < at)
			continue;
		place->name_at = name_of(at);
		place->name_size = name_size;
	}
}

static int visit_records(struct jit_reader *reader, record_visit *visit)
{
	size_t wanted = sizeof(struct record_head) + sizeof(struct code_load) + JIT_MAX_NAME_BYTES;
	struct file_head file;
	uint64_t at;
	size_t size;
	const uint8_t *bytes = jit_bytes(reader, 0, sizeof(file), &size);

	if (!bytes)
		return -errno;
	if (size < sizeof(file))
		return 0;
	memcpy(&file, bytes, sizeof(file));
	at = file.total_size;
	for (uint32_t i = 0; i < JIT_MAX_RECORDS; i++) {
		struct record_head head;

		bytes = jit_bytes(reader, at, wanted, &size);
		if (!bytes)
			return -errno;
		if (size < sizeof(head))
			return 0;
		memcpy(&head, bytes, sizeof(head));
		if (head.total_size < sizeof(head) || head.id == CODE_CLOSE)
			return 0;
		visit(reader, head.id, bytes, size < head.total_size ? size : head.total_size, at);
		at += head.total_size;
	}
	return 0;
}

int jit_read_dump(struct jit_reader *reader)
{
	int r = visit_records(reader, read_code);

	qsort(reader->places, reader->count, sizeof(*reader->places), by_moved_code);
	if (r || !reader->count || !reader->places->moved_at)
		return r;
	return visit_records(reader, name_moved);
}
