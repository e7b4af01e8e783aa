/* drops_code: gives the pages of its allocator's code back to the kernel, as some programs do to be
 * small: "drop" does it, "allocate N" calls malloc N times and leaks. build: -static
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(void)
{
	static char in[256], out[256];
	char line[64];
	int count;

	setvbuf(stdin, in, _IOFBF, sizeof(in));
	setvbuf(stdout, out, _IOLBF, sizeof(out));
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "allocate %d", &count) == 1) {
			for (int i = 0; i < count; i++) {
				void *block = malloc(100);

				__asm__ volatile("" : : "r"(block) : "memory");
			}
			puts("allocated");
		} else {
			uintptr_t page = (uintptr_t)malloc & ~4095ul;

			if (madvise((void *)(page - 4096 * 4), 4096 * 12, MADV_DONTNEED))
				perror("madvise");
			puts("dropped");
		}
	}
	return 0;
}
