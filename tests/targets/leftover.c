/* leftover: leaves breakpoints in a process, as a tracer does that is killed while it lets go.
 *
 * leftover PID FILE OFFSET...: places an uprobe for PID at each file offset, prints "ready", and on
 * a line "die US" closes them all while a thread kills the whole process US microseconds later.
 * Those that were still open then are closed with a fatal signal pending, which kernels up to 7.3
 * at least answer by leaving the breakpoint where it is. Another line closes them in peace.
 * build: -pthread
 */
#include <linux/perf_event.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long delay_us;

static int place(pid_t pid, const char *path, const char *offset, unsigned type)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = type,
		.uprobe_path = (uintptr_t)path,
		.probe_offset = strtoull(offset, NULL, 0),
		.disabled = 1,
	};

	return syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void *die(void *ready)
{
	pthread_barrier_wait(ready);
	usleep(delay_us);
	kill(getpid(), SIGKILL);
	return NULL;
}

int main(int argc, char **argv)
{
	FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	pthread_barrier_t ready;
	pthread_t thread;
	unsigned type;
	char line[64];

	if (argc < 4 || !file || fscanf(file, "%u", &type) != 1)
		return 2;
	fclose(file);
	for (int i = 3; i < argc; i++) {
		if (place(atoi(argv[1]), argv[2], argv[i], type) < 0) {
			perror(argv[i]);
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 0;
	if (sscanf(line, "die %ld", &delay_us) == 1) {
		pthread_barrier_init(&ready, NULL, 2);
		pthread_create(&thread, NULL, die, &ready);
		pthread_barrier_wait(&ready);
	}
	close_range(3, ~0u, 0);
	return 0;
}
