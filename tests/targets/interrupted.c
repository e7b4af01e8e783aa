/* Threads that wait in calls of the kernel which end with EINTR when a thread is stopped, by
 * ptrace(2) or a signal, and which no restart hides (signal(7)). Says "ready"; for each line of
 * input it says how many of its calls were interrupted, "interrupted N".
 */
/* build: -pthread */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int interrupted;

static void note(int result)
{
	if (result < 0 && errno == EINTR)
		__atomic_add_fetch(&interrupted, 1, __ATOMIC_SEQ_CST);
}

static void *wait_for_events(void *unused)
{
	int fd = epoll_create1(0);
	struct epoll_event event;

	for (;;)
		note(epoll_wait(fd, &event, 1, -1));
	return unused;
}

static void *sleep_on(void *unused)
{
	const struct timespec time = { .tv_sec = 1000 };

	for (;;)
		note(nanosleep(&time, NULL));
	return unused;
}

static void *wait_for_semaphore(void *unused)
{
	int set = semget(IPC_PRIVATE, 1, 0600);
	struct sembuf operation = { .sem_op = -1 };

	semctl(set, 0, SETVAL, 0);
	for (;;) {
		int result = semop(set, &operation, 1);

		note(result);
		if (result < 0 && errno != EINTR)
			return unused; /* the set is gone */
		if (result == 0)
			exit(1); /* nobody raises it */
	}
}

static void *receive(void *unused)
{
	const struct timeval timeout = { .tv_sec = 1000 };
	int pair[2];
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		exit(1);
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	for (;;)
		note(recv(pair[0], &byte, 1, 0));
	return unused;
}

static void *wait_for_signal(void *unused)
{
	const struct timespec time = { .tv_sec = 1000 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	for (;;)
		note(sigtimedwait(&set, NULL, &time));
	return unused;
}

int main(void)
{
	void *(*const waits[])(void *) = { wait_for_events, sleep_on, wait_for_semaphore, receive,
					   wait_for_signal };
	void *volatile kept = NULL; /* something to look for */
	char line[16];

	for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, waits[i], NULL))
			return 1;
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		kept = malloc(100); /* the one before is lost: a scan comes again for it */
		printf("interrupted %d\n", __atomic_load_n(&interrupted, __ATOMIC_SEQ_CST));
		fflush(stdout);
	}
	return kept == NULL;
}
