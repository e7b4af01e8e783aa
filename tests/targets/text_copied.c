/* text_copied: copies its own code to anonymous memory at the same addresses, as programs do that
 * want it in huge pages. Lines on stdin: "copy NAME": all executable mappings whose line in maps
 * has NAME; "allocate N": leaks N blocks of 1,000 bytes; "both NAME": the one and the other, at
 * once. With "memfd" behind NAME that memory is of a file in memory, with "parted" it is two
 * mappings. build: -static
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char maps[1 << 16];

static void *get_memory(size_t size, const char *how)
{
	int fd = strcmp(how, "memfd") ? -1 : memfd_create("code", 0);

	if (fd >= 0 && ftruncate(fd, (off_t)size))
		perror("ftruncate");
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0),
		    fd, 0);
}

static void copy_mapping(unsigned long start, unsigned long end, const char *how)
{
	size_t size = end - start;
	char *copy = get_memory(size, how);

	memcpy(copy, (void *)start, size);
	mprotect(copy, size, PROT_READ | PROT_EXEC);
	if (!strcmp(how, "parted")) { /* one mremap moves one mapping */
		madvise(copy, 4096, MADV_DONTFORK);
		if (mremap(copy, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start) ==
		    MAP_FAILED)
			perror("mremap");
		start += 4096;
		copy += 4096;
		size -= 4096;
	}
	if (mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start) == MAP_FAILED)
		perror("mremap");
}

/* Without a call of malloc. */
static void copy_code(const char *name, const char *how)
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
		copy_mapping(list[i][0], list[i][1], how);
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
	char line[128], name[64], how[16];
	int count;

	setvbuf(stdin, in, _IOFBF, sizeof(in));
	setvbuf(stdout, out, _IOLBF, sizeof(out));
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		how[0] = '\0';
		if (sscanf(line, "allocate %d", &count) == 1) {
			allocate(count);
			puts("allocated");
		} else if (sscanf(line, "copy %63s %15s", name, how) >= 1) {
			copy_code(name, how);
			puts("copied");
		} else if (sscanf(line, "both %63s", name) == 1) {
			copy_code(name, how);
			allocate(1);
			puts("both");
		}
	}
	return 0;
}
