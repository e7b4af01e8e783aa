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

#define TIMES_ARE_THE_PROCESSOR_S 1 /* of flags; else CLOCK_MONOTONIC, as perf wants it */

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

/* A record from its head on, as far as its name may go. */
struct record {
	struct record_head head;
	const uint8_t *bytes;
	size_t size;
	uint64_t at; /* in the file */
	bool has_time;
};

typedef void record_visit(struct jit_reader *reader, const struct record *record);

bool jit_is_dump(const uint8_t *bytes, size_t size)
{
	uint32_t magic = MAGIC;

	return size >= sizeof(magic) && !memcmp(bytes, &magic, sizeof(magic));
}

#define NAME_FROM (sizeof(struct record_head) + sizeof(struct code_load))

/* The name's length, more than JIT_MAX_NAME_BYTES if it goes on beyond that; -1: it is no such
 * record. */
static ssize_t parse_load(const struct record *record, struct code_load *ret)
{
	const uint8_t *end;

	if (record->head.id != CODE_LOAD || record->size <= NAME_FROM)
		return -1;
	memcpy(ret, record->bytes + sizeof(struct record_head), sizeof(*ret));
	end = memchr(record->bytes + NAME_FROM, '\0', record->size - NAME_FROM);
	if (!end)
		return record->size > NAME_FROM + JIT_MAX_NAME_BYTES ? JIT_MAX_NAME_BYTES + 1 : -1;
	return end - record->bytes - (ssize_t)NAME_FROM;
}

static void read_code(struct jit_reader *reader, const struct record *record)
{
	struct jit_entry entry = { .since_ns = record->has_time ? record->head.timestamp
								: JIT_AT_ANY_TIME };
	struct code_load load;
	struct code_move move;
	ssize_t name_size = parse_load(record, &load);

	if (name_size >= 0) {
		entry.start = load.addr;
		entry.size = load.size;
		entry.name = record->bytes + NAME_FROM;
		entry.name_at = record->at + NAME_FROM;
		entry.name_size = name_size;
		jit_claim(reader, &entry);
	} else if (record->head.id == CODE_MOVE &&
		   record->size >= sizeof(struct record_head) + sizeof(move)) {
		memcpy(&move, record->bytes + sizeof(struct record_head), sizeof(move));
		entry.start = move.new_addr;
		entry.size = move.size;
		entry.moved_code = move.index;
		entry.moved_at = record->at;
		jit_claim(reader, &entry);
	}
}

/* ---- code that has moved ---- */

static int by_moved_code(const void *a_, const void *b_)
{
	const struct jit_code *a = *(struct jit_code *const *)a_,
			      *b = *(struct jit_code *const *)b_;

	return a->moved_code < b->moved_code ? -1 : a->moved_code > b->moved_code;
}

static int list_moved(struct jit_reader *reader)
{
	reader->moved = calloc(JIT_CODES * reader->count + 1ul, sizeof(*reader->moved));
	if (!reader->moved)
		return -ENOMEM;
	for (uint32_t i = 0; i < reader->count; i++) {
		struct jit_place *place = &reader->places[i];

		for (uint32_t j = 0; j < place->code_count; j++)
			if (place->codes[j].moved_at)
				reader->moved[reader->moved_count++] = &place->codes[j];
	}
	qsort(reader->moved, reader->moved_count, sizeof(*reader->moved), by_moved_code);
	return 0;
}

/* The second time: the name that its number had before. */
static void name_moved(struct jit_reader *reader, const struct record *record)
{
	struct code_load load;
	ssize_t name_size = parse_load(record, &load);
	struct jit_code wanted = { 0 }, *key = &wanted, **at, **end;

	if (name_size < 0)
		return;
	wanted.moved_code = load.index;
	end = reader->moved + reader->moved_count;
	at = bsearch(&key, reader->moved, reader->moved_count, sizeof(*at), by_moved_code);
	if (!at)
		return;
	while (at > reader->moved && by_moved_code(at - 1, &key) == 0)
		at--;
	for (; at < end && by_moved_code(at, &key) == 0 && reader->claims < JIT_MAX_CLAIMS;
	     at++, reader->claims++) {
		if ((*at)->moved_at < record->at)
			continue;
		(*at)->name_at = record->at + NAME_FROM;
		(*at)->name_size = name_size;
	}
}

static int visit_records(struct jit_reader *reader, record_visit *visit)
{
	struct record record = { 0 };
	struct file_head file;
	size_t size;
	const uint8_t *bytes = jit_bytes(reader, 0, sizeof(file), &size);

	if (!bytes)
		return -errno;
	if (size < sizeof(file))
		return 0;
	memcpy(&file, bytes, sizeof(file));
	record.at = file.total_size;
	record.has_time = !(file.flags & TIMES_ARE_THE_PROCESSOR_S);
	for (uint32_t i = 0; i < JIT_MAX_RECORDS; i++) {
		struct record_head *head = &record.head;

		record.bytes =
			jit_bytes(reader, record.at, NAME_FROM + JIT_MAX_NAME_BYTES + 1, &size);
		if (!record.bytes)
			return -errno;
		if (size < sizeof(*head))
			return 0;
		memcpy(head, record.bytes, sizeof(*head));
		if (head->total_size < sizeof(*head) || head->id == CODE_CLOSE)
			return 0;
		record.size = size < head->total_size ? size : head->total_size;
		visit(reader, &record);
		record.at += head->total_size;
	}
	return 0;
}

int jit_read_dump(struct jit_reader *reader)
{
	int r = visit_records(reader, read_code);

	if (!r)
		r = list_moved(reader);
	return r || !reader->moved_count ? r : visit_records(reader, name_moved);
}
