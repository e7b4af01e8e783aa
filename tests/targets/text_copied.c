/* text_copied: copies its own code to anonymous memory at the same addresses, as programs do that
 * want it in huge pages. Lines on stdin: "copy NAME": all executable mappings whose line in maps
 * has NAME; "allocate N": leaks N blocks of 1,000 bytes; "both NAME": the one and the other, at
 * once. build: -static
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char maps[1 << 16];

static void copy_mapping(unsigned long start, unsigned long end)
{
	size_t size = end - start;
	void *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(copy, (void *)start, size);
	mprotect(copy, size, PROT_READ | PROT_EXEC);
	if (mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start) == MAP_FAILED)
		perror("mremap");
}

/* Without a call of malloc. */
static void copy_code(const char *name)
{
	unsigned long list[16][2], start, end;
	int fd = open("/proc/self/maps", O_RDONLY), count = 0;
	size_t size = 0;
	ssize_t got;
	char rights[8];

	while ((got = read(fd, maps + size, sizeof(maps) - 1 - size)) > 0)
		size += got;
	maps[size] = '\0';
	close(fd);
	for (char *line = strtok(maps, "\n"); line; line = strtok(NULL, "\n")) {
		if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3 && rights[2] == 'x' &&
		    strstr(line, name) && count < 16) {
			list[count][0] = start;
			list[count++][1] = end;
		}
	}
	for (int i = 0; i < count; i++)
		copy_mapping(list[i][0], list[i][1]);
}

static void allocate(int count)
{
	for (int i = 0; i < count; i++) {
		void *block = malloc(1000);

		__asm__ volatile("" : : "r"(block) : "memory");
	}
}

int main(void)
{
	static char in[256], out[256];
	char line[128], name[64];
	int count;

	setvbuf(stdin, in, _IOFBF, sizeof(in));
	setvbuf(stdout, out, _IOLBF, sizeof(out));
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "allocate %d", &count) == 1) {
			allocate(count);
			puts("allocated");
		} else if (sscanf(line, "copy %63s", name) == 1) {
			copy_code(name);
			puts("copied");
		} else if (sscanf(line, "both %63s", name) == 1) {
			copy_code(name);
			allocate(1);
			puts("both");
		}
	}
	return 0;
}
