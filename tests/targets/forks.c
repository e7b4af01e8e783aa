/* Children by the thousand: forks [CHILDREN] [KIND], KIND one of fork, vfork, spawn. A forked child
 * uses the heap (its copies of the parent's blocks too) and exits 0 if all is as it should be; it
 * is not the target, so none of that counts. */
#include <spawn.h>
#include <sys/wait.h>

#include "ledger.h"

extern char **environ;

static char *shared_block;

static __attribute__((noinline)) void child_work(void)
{
	for (int i = 0; i < 20; i++) {
		char *p = malloc(1000 + i);

		OPAQUE(p);
		if (!p)
			_exit(2);
		memset(p, i, 1000 + i);
		p = realloc(p, 3000);
		OPAQUE(p);
		if (!p || p[999] != i)
			_exit(3);
		free(p);
	}
	if (shared_block[0] != 'x')
		_exit(4);
	free(shared_block);
	_exit(0);
}

static pid_t start_child(const char *kind)
{
	char *const arguments[] = { "true", NULL };
	pid_t pid;

	if (!strcmp(kind, "fork")) {
		pid = fork();
		if (pid == 0)
			child_work();
	} else if (!strcmp(kind, "vfork")) {
		pid = vfork();
		if (pid == 0) {
			execv("/bin/true", arguments);
			_exit(5);
		}
	} else {
		CHECK(!posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ));
	}
	CHECK(pid > 0);
	return pid;
}

static __attribute__((noinline)) void parent_work(long i)
{
	size_t size_bytes = 100 + i % 50;
	void *p = malloc(size_bytes);

	OPAQUE(p);
	CHECK(p);
	ledger_add(size_bytes);
	if (i % 5 == 0)
		return; /* stays */
	free(p);
	ledger_drop(size_bytes);
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv), status;
	long count = arg_number(argc, argv, own, 1000), unharmed = 0;
	const char *kind = own + 1 < argc ? argv[own + 1] : "fork";
	char extra[64];

	shared_block = malloc(64);
	OPAQUE(shared_block);
	CHECK(shared_block);
	ledger_add(64);
	memset(shared_block, 'x', 64);
	for (long i = 0; i < count; i++) {
		pid_t pid = start_child(kind);

		parent_work(i);
		CHECK(waitpid(pid, &status, 0) == pid);
		unharmed += WIFEXITED(status) && WEXITSTATUS(status) == 0;
	}
	snprintf(extra, sizeof(extra), ",\"children\":%ld,\"unharmed\":%ld", count, unharmed);
	return target_end(extra);
}
