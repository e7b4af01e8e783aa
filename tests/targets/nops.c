/* nops: calls a function that begins with a nop of five bytes as fast as it can, and tells what a
 * call costs: a line "NS" for each line on stdin. An uprobe on such a nop becomes a call on kernels
 * from 6.18 on. build: -pthread
 */
#include <pthread.h>
#include <stdio.h>
#include <time.h>

void probed(void);
__asm__(".text\n.type probed, @function\nprobed:\n.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\nret\n.size "
	"probed, . - "
	"probed\n.globl probed\n");

int main(void)
{
	char line[16];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		struct timespec begin, end;

		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (int i = 0; i < 1000; i++)
			probed();
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%.1f\n",
		       ((end.tv_sec - begin.tv_sec) * 1e9 + end.tv_nsec - begin.tv_nsec) / 1000);
		fflush(stdout);
	}
	return 0;
}
