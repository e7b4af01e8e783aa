/* churn: an allocator at work, and then a known pattern through the same functions.
 *
 * Usage: churn [idle|late]
 * Says "ready" and allocates and frees without an end, with "idle" nothing; for a line stops and
 * frees all, says "quiet", having called one more function with "late"; for a line does the pattern
 * and says "done BYTES BLOCKS LIVE_BYTES LIVE_BLOCKS" of it, by the rules of Valgrind's DHAT; for a
 * line ends.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define JE(name) JOIN(PREFIX, name)
#define SLOTS 997

void *JE(malloc)(size_t size);
void *JE(calloc)(size_t count, size_t size);
void *JE(realloc)(void *block, size_t size);
void JE(free)(void *block);
int JE(posix_memalign)(void **ret, size_t alignment, size_t size);
void *JE(aligned_alloc)(size_t alignment, size_t size);
void *JE(mallocx)(size_t size, int flags);
void *JE(rallocx)(void *block, size_t size, int flags);
void JE(sdallocx)(void *block, size_t size, int flags);

static struct {
	void *block;
	size_t size;
	int flags; /* for sdallocx(): MALLOCX_LG_ALIGN(6) */
} slots[SLOTS];
static uint64_t total_bytes, total_blocks, seed = 7;

static uint32_t next_random(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull; /* Knuth's MMIX */
	return seed >> 33;
}

__attribute__((noinline)) static void drop(int i)
{
	if (i % 2)
		JE(free)(slots[i].block);
	else if (slots[i].block)
		JE(sdallocx)(slots[i].block, slots[i].size, slots[i].flags);
	slots[i].block = NULL;
	slots[i].size = slots[i].flags = 0;
}

static void get(int i, size_t size)
{
	switch (next_random() % 8) {
	case 0:
		slots[i].block = JE(calloc)(3, size = (size + 2) / 3);
		size *= 3;
		break;
	case 1:
		slots[i].block = JE(aligned_alloc)(64, size);
		slots[i].flags = 6;
		break;
	case 2:
		slots[i].block = JE(mallocx)(size, 0);
		break;
	default:
		slots[i].block = JE(malloc)(size);
	}
	slots[i].size = size;
}

static void step(void)
{
	int i = next_random() % SLOTS;
	size_t size = 1 + next_random() % (next_random() % 8 ? 200 : 3000);

	if (!slots[i].block) {
		get(i, size);
	} else if (next_random() % 4 == 0) {
		slots[i].block = next_random() % 2 ? JE(realloc)(slots[i].block, size)
						   : JE(rallocx)(slots[i].block, size, 0);
		slots[i].size = size;
		slots[i].flags = 0;
	} else {
		drop(i);
		return;
	}
	memset(slots[i].block, 1, slots[i].size);
	total_bytes += slots[i].size;
	total_blocks++;
}

__attribute__((noinline)) static void call_another(void)
{
	void *block = NULL;

	if (JE(posix_memalign)(&block, 64, 100) == 0)
		JE(free)(block);
}

static int has_line(void)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };

	return poll(&in, 1, 0) > 0;
}

int main(int argc, char **argv)
{
	uint64_t live_bytes = 0, live_blocks = 0;
	const char *how = argc > 1 ? argv[1] : "";
	char line[16];

	setvbuf(stdin, NULL, _IONBF, 0);
	setvbuf(stdout, NULL, _IONBF, 0);
	for (int i = 0; i < 5000; i++)
		step();
	puts("ready");
	while (strcmp(how, "idle") && !has_line()) {
		for (int i = 0; i < 200; i++)
			step();
		usleep(200);
	}
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (int i = 0; i < SLOTS; i++)
		drop(i);
	if (!strcmp(how, "late"))
		call_another();
	puts("quiet");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	total_bytes = total_blocks = 0;
	for (int i = 0; i < 20000; i++)
		step();
	for (int i = 0; i < SLOTS; i++) {
		live_bytes += slots[i].size;
		live_blocks += slots[i].block != NULL;
	}
	printf("done %llu %llu %llu %llu\n", (unsigned long long)total_bytes,
	       (unsigned long long)total_blocks, (unsigned long long)live_bytes,
	       (unsigned long long)live_blocks);
	return !fgets(line, sizeof(line), stdin);
}
