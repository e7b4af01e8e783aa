#include <errno.h>
#include <string.h>

#include "jit_names.h"
#include "jit_reader.h"

#define MAGIC 0x4a695444 /* "JiTD", as a machine of our byte order writes it */

struct file_head {
	uint32_t magic, version, total_size, elf_machine, pad, pid;
	uint64_t timestamp, flags;
};

enum { CODE_LOAD = 0, CODE_CLOSE = 3 };

struct record_head {
	uint32_t id, total_size;
	uint64_t timestamp;
};

struct code_load { /* behind the head; then the name with its NUL, then the code */
	uint32_t pid, tid;
	uint64_t vma, addr, size, index;
};

bool jit_is_dump(const uint8_t *bytes, size_t size)
{
	uint32_t magic = MAGIC;

	return size >= sizeof(magic) && !memcmp(bytes, &magic, sizeof(magic));
}

static void read_load(struct jit_reader *reader, const uint8_t *bytes, size_t size, uint64_t at)
{
	size_t name_from = sizeof(struct record_head) + sizeof(struct code_load);
	struct code_load load;
	const uint8_t *end;

	if (size <= name_from)
		return;
	memcpy(&load, bytes + sizeof(struct record_head), sizeof(load));
	end = memchr(bytes + name_from, '\0', size - name_from);
	if (end)
		jit_claim(reader, load.addr, load.size, at + name_from, end - bytes - name_from);
}

int jit_read_dump(struct jit_reader *reader)
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
		if (size > head.total_size)
			size = head.total_size;
		if (head.id == CODE_LOAD)
			read_load(reader, bytes, size, at);
		at += head.total_size;
	}
	return 0;
}
