#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/asker.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/text.h"
#include "proto/base/texts.h"

#define NOBODY 65534
#define COULD_NOT_RUN 127 /* as a shell has it */

struct running {
	pid_t pid; /* 0: free */
	uint64_t until_ns;
	bool was_ended;
	char program[128];
};

struct order { /* what is to be run */
	char **argv, **environment;
};

struct commands {
	struct running running[COMMANDS_MAX];
	struct order waiting[COMMANDS_WAITING]; /* the first is the next */
	size_t waiting_count;
};

static void order_deinit(struct order *order)
{
	texts_free(order->argv);
	texts_free(order->environment);
	*order = (struct order){ 0 };
}

int commands_new(struct commands **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void commands_free(struct commands *commands)
{
	if (!commands)
		return;
	for (size_t i = 0; i < commands->waiting_count; i++)
		order_deinit(&commands->waiting[i]);
	free(commands);
}

size_t commands_running(const struct commands *commands)
{
	size_t count = 0;

	for (size_t i = 0; i < COMMANDS_MAX; i++)
		count += commands->running[i].pid != 0;
	return count;
}

size_t commands_waiting(const struct commands *commands)
{
	return commands->waiting_count;
}

/* ---- start ----------------------------------------------------------------------------------- */

static int split(const char *line, char ***ret)
{
	_cleanup_free_ char *copy = strdup(line);
	char *rest = copy, *word;
	int error = copy ? 0 : -ENOMEM;

	while (error == 0 && (word = strsep(&rest, " \t")))
		if (*word)
			error = texts_add(ret, word);
	return error == 0 && !*ret ? -EINVAL : error;
}

static int make_environment(char *const *settings, char ***ret)
{
	static const char *const inherited[] = { "PATH", "LANG", "LC_ALL", "TZ" };
	int error = 0;

	for (size_t i = 0; i < ARRAY_SIZE(inherited) && error == 0; i++) {
		_cleanup_free_ char *line = NULL;
		const char *value = getenv(inherited[i]);

		if (value && asprintf(&line, "%s=%s", inherited[i], value) < 0)
			line = NULL;
		if (value)
			error = line ? texts_add(ret, line) : -ENOMEM;
	}
	for (; *settings && error == 0; settings++) {
		_cleanup_free_ char *clean = dhat_text_clean(*settings);

		error = clean ? texts_add(ret, clean) : -ENOMEM;
	}
	return error;
}

/* In the child. dhatd is spared when memory ends (dhatd.service says why); what it runs is not:
 * more is always allowed. */
static void be_as_all_others(void)
{
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	char text[8];

	if (fd >= 0 && read(fd, text, sizeof(text)) > 0 && *text == '-' &&
	    pwrite(fd, "0", 1, 0) < 0)
		return; /* it is spared, then */
	if (fd >= 0)
		close(fd);
}

/* In the child: nothing but system calls, for other threads may have held the allocator's locks. */
static _Noreturn void become(char *const *argv, char *const *environment, bool has_asker, uid_t uid,
			     gid_t gid)
{
	struct sigaction deflt = { .sa_handler = SIG_DFL };
	sigset_t none;
	int nothing;

	sigemptyset(&none);
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &deflt, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid(); /* a group of its own: ended with all that it starts */
	be_as_all_others();
	nothing = open("/dev/null", O_RDONLY);
	if (dup2(nothing, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(COULD_NOT_RUN);
	closefrom(STDERR_FILENO + 1);
	if (has_asker &&
	    (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid)))
		_exit(COULD_NOT_RUN);
	execvpe(argv[0], argv, environment);
	_exit(COULD_NOT_RUN);
}

static struct running *free_place(struct commands *commands)
{
	for (size_t i = 0; i < COMMANDS_MAX; i++)
		if (!commands->running[i].pid)
			return &commands->running[i];
	return NULL;
}

static int make_order(const char *line, char *const *settings, struct order *ret)
{
	int error = split(line, &ret->argv);

	return error ? error : make_environment(settings, &ret->environment);
}

static int run(const struct order *order, struct running *place, struct dhat_error *err)
{
	uid_t uid = 0;
	gid_t gid = 0;
	bool has_asker = geteuid() == 0 && dhat_asker(&uid, &gid);

	if (gid == (gid_t)-1) /* it is not told: root's it must not be */
		gid = NOBODY;
	*place = (struct running){ .until_ns = clock_now_ns(CLOCK_MONOTONIC) +
					       COMMAND_SECONDS * 1000000000ull };
	snprintf(place->program, sizeof(place->program), "%s", order->argv[0]);
	place->pid = fork();
	if (place->pid == 0)
		become(order->argv, order->environment, has_asker, uid, gid);
	if (place->pid > 0)
		return 0;
	place->pid = 0;
	return dhat_error_errno(err, errno, "cannot run %s", order->argv[0]);
}

int commands_start(struct commands *commands, const char *line, char *const *settings,
		   struct dhat_error *err)
{
	_cleanup_(order_deinit) struct order order = { 0 };
	struct running *place = commands->waiting_count ? NULL : free_place(commands);
	int error;

	if (!place && commands->waiting_count == COMMANDS_WAITING)
		return dhat_error_set(err, EAGAIN, DHAT_EXIT_FAILED,
				      "%d commands are still running, and %d wait: %s is not run "
				      "this time",
				      COMMANDS_MAX, COMMANDS_WAITING, line);
	error = make_order(line, settings, &order);
	if (error)
		return dhat_error_errno(err, -error, "cannot run %s", line);
	if (place)
		return run(&order, place, err);
	commands->waiting[commands->waiting_count++] = order;
	order = (struct order){ 0 };
	return 0;
}

/* ---- end ------------------------------------------------------------------------------------- */

static void tell_end(const struct running *running, int status,
		     void (*told)(void *context, const char *text), void *context)
{
	char text[sizeof(running->program) + 96];

	if (running->was_ended)
		snprintf(text, sizeof(text), "%s was ended after %d s", running->program,
			 COMMAND_SECONDS);
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "%s was ended by signal %d", running->program,
			 WTERMSIG(status));
	else if (WEXITSTATUS(status) == COULD_NOT_RUN)
		snprintf(text, sizeof(text), "%s could not be run (exit status %d)",
			 running->program, COULD_NOT_RUN);
	else if (WEXITSTATUS(status))
		snprintf(text, sizeof(text), "%s failed: exit status %d", running->program,
			 WEXITSTATUS(status));
	else
		return;
	told(context, text);
}

static void reap(struct commands *commands, void (*told)(void *context, const char *text),
		 void *context)
{
	for (size_t i = 0; i < COMMANDS_MAX; i++) {
		struct running *running = &commands->running[i];
		int status;

		if (!running->pid)
			continue;
		if (waitpid(running->pid, &status, WNOHANG) == running->pid) {
			running->pid = 0;
			tell_end(running, status, told, context);
		} else if (clock_now_ns(CLOCK_MONOTONIC) >= running->until_ns) {
			kill(-running->pid, SIGKILL);
			running->was_ended = true;
		}
	}
}

static struct order take_next(struct commands *commands)
{
	struct order order = commands->waiting[0];

	commands->waiting_count--;
	memmove(commands->waiting, commands->waiting + 1,
		commands->waiting_count * sizeof(*commands->waiting));
	return order;
}

void commands_look_after(struct commands *commands, void (*told)(void *context, const char *text),
			 void *context)
{
	struct running *place;

	reap(commands, told, context);
	while (commands->waiting_count && (place = free_place(commands))) {
		_cleanup_(order_deinit) struct order order = take_next(commands);
		struct dhat_error err = { 0 };

		if (run(&order, place, &err))
			told(context, err.message);
	}
}

#define END_INTERVAL_US 10000

void commands_finish(struct commands *commands, void (*told)(void *context, const char *text),
		     void *context)
{
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + COMMANDS_END_SECONDS * 1000000000ull;
	char text[96];

	commands_look_after(commands, told, context);
	while (commands->waiting_count && clock_now_ns(CLOCK_MONOTONIC) < end_ns) {
		usleep(END_INTERVAL_US);
		commands_look_after(commands, told, context);
	}
	if (!commands->waiting_count)
		return;
	snprintf(text, sizeof(text), "%zu commands that waited for others to end are not run",
		 commands->waiting_count);
	told(context, text);
}
