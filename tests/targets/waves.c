/* Blocks on command. Lines on stdin: "alloc COUNT SIZE"; "paths COUNT SIZE", each block by a path
 * of calls that no other has taken; "free COUNT" (oldest first); "lose COUNT" (likewise: each two
 * point to one another, and nothing else does to them); "fail", an allocation that nobody can have;
 * "quit". After each the book is printed. */
#include "ledger.h"

#define MAX_BLOCKS (1 << 24)
#define PATH_BITS 17

static struct {
	void *block;
	uint32_t size_bytes;
} blocks[MAX_BLOCKS];
static long first, end;

static __attribute__((noinline)) void take(size_t size_bytes)
{
	void *p = malloc(size_bytes);

	OPAQUE(p);
	CHECK(p && end < MAX_BLOCKS);
	memset(p, 'w', size_bytes); /* resident, as an OOM test needs it */
	ledger_add(size_bytes);
	blocks[end].block = p;
	blocks[end++].size_bytes = size_bytes;
}

/* A call at one of two places for each bit of `path`; what follows keeps them two, and no jumps. */
static __attribute__((noinline)) void take_by_path(unsigned path, int bits, size_t size_bytes)
{
	if (bits == 0) {
		take(size_bytes);
	} else if (path & 1) {
		take_by_path(path >> 1, bits - 1, size_bytes);
		__asm__ volatile("nop");
	} else {
		take_by_path(path >> 1, bits - 1, size_bytes);
		__asm__ volatile("");
	}
	OPAQUE(bits);
}

static __attribute__((noinline)) void give_back(void)
{
	CHECK(first < end);
	ledger_drop(blocks[first].size_bytes);
	free(blocks[first++].block);
}

static void lose_two(void)
{
	CHECK(first + 1 < end && blocks[first].size_bytes >= sizeof(void *) &&
	      blocks[first + 1].size_bytes >= sizeof(void *));
	*(void **)blocks[first].block = blocks[first + 1].block;
	*(void **)blocks[first + 1].block = blocks[first].block;
	blocks[first].block = blocks[first + 1].block = NULL;
	first += 2;
}

static __attribute__((noinline)) void ask_for_too_much(void)
{
	size_t size_bytes = SIZE_MAX / 4;

	OPAQUE(size_bytes);
	CHECK(!malloc(size_bytes));
}

/* A line of stdin, without stdio's buffer. */
static bool get_command(char *line, size_t size)
{
	size_t len = 0;

	while (len + 1 < size && read(0, line + len, 1) == 1) {
		if (line[len] == '\n') {
			line[len] = 0;
			return true;
		}
		len++;
	}
	return false;
}

int main(int argc, char **argv)
{
	char line[64];
	long count, size_bytes;
	unsigned path = 0;

	target_begin(argc, argv);
	say("{\"ready\":true,\"pid\":%d}\n", (int)getpid());
	while (get_command(line, sizeof(line)) && strcmp(line, "quit")) {
		if (sscanf(line, "alloc %ld %ld", &count, &size_bytes) == 2) {
			while (count-- > 0)
				take(size_bytes);
		} else if (sscanf(line, "paths %ld %ld", &count, &size_bytes) == 2) {
			CHECK(path + count <= 1 << PATH_BITS);
			while (count-- > 0)
				take_by_path(path++, PATH_BITS, size_bytes);
		} else if (strcmp(line, "fail") == 0) {
			ask_for_too_much();
		} else if (sscanf(line, "free %ld", &count) == 1) {
			while (count-- > 0)
				give_back();
		} else if (sscanf(line, "lose %ld", &count) == 1) {
			for (; count > 1; count -= 2)
				lose_two();
		} else if (strcmp(line, "exec") == 0) {
			execv("/proc/self/exe", argv);
			fail("execv");
		} else {
			fail("unknown command");
		}
		target_print("");
	}
	return 0;
}
