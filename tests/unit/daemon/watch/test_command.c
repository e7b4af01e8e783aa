/* command: what it is told, and that it does not stay. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/watch/command.h"
#include "proto/base/qualifiers.h"
#include "tests/unit/folder.h"

static char said[256];

static void tell(void *context, const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

static void run(const char *line, const char *setting)
{
	char *settings[] = { without_qualifiers(setting), NULL };
	struct commands *commands = NULL;
	struct dhat_error err = { 0 };

	assert_int_equal(commands_new(&commands), 0);
	said[0] = '\0';
	assert_int_equal(commands_start(commands, line, settings, &err), 0);
	for (int i = 0; commands_running(commands); i++) {
		assert_true(i < 30000);
		usleep(1000);
		commands_look_after(commands, tell, NULL);
	}
	commands_free(commands);
}

static const char *script(const char *text)
{
	static char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/script", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "#!/bin/sh\n%s\n", text);
	fchmod(fileno(file), 0755);
	fclose(file);
	return path;
}

static const char *content(const char *name)
{
	static char text[512];
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return text;
}

/* What a target chose is text to it, and no shell has read it before. */
static void test_environment(void **state)
{
	char line[256];

	snprintf(line, sizeof(line), "%s  one  $(touch%s/bad)",
		 script("cd \"$(dirname \"$0\")\"; printf '%s' \"$DHATD_HEADLINE\" >told; printf "
			"'%s ' "
			"\"$@\" >arguments; env >all"),
		 folder);
	run(line, "DHATD_HEADLINE=x\x1b[31m\n$(touch bad)`touch bad`;\xff");
	assert_string_equal(said, "");
	assert_string_equal(content("told"), "x?[31m?$(touch bad)`touch bad`;\xef\xbf\xbd");
	assert_non_null(strstr(content("arguments"), "one $(touch"));
	snprintf(line, sizeof(line), "%s/bad", folder);
	assert_int_equal(access(line, F_OK), -1);
	/* of ours it gets what makes programs run */
	assert_null(strstr(content("all"), "A_SECRET_OF_OURS"));
	assert_non_null(strstr(content("all"), "PATH="));
}

static void test_descriptors(void **state)
{
	int extra = fcntl(2, F_DUPFD, 77); /* without close-on-exec, and none of a shell's own */

	assert_int_equal(extra, 77);
	run(script("for fd in 0 1 2 77; do [ ! -e /proc/$$/fd/$fd ] || printf '%s ' $fd; done "
		   ">\"$(dirname \"$0\")/descriptors\""),
	    "A=b");
	assert_string_equal(content("descriptors"), "0 1 2 ");
	close(extra);
}

static void test_failures_are_told(void **state)
{
	run(script("exit 3"), "A=b");
	assert_non_null(strstr(said, "/script failed: exit status 3"));
	run(script("kill -9 $$"), "A=b");
	assert_non_null(strstr(said, "/script was ended by signal 9"));
	run("/no/such/program", "A=b");
	assert_non_null(strstr(said, "/no/such/program could not be run"));
}

/* One that ends leaves what it has started alone: it may be a daemon, or a message under way. */
static void test_what_it_leaves_behind_goes_on(void **state)
{
	char path[128];
	pid_t child;

	run(script("sleep 1000 & echo $! >\"$(dirname \"$0\")/child\""), "A=b");
	assert_string_equal(said, "");
	child = atoi(content("child"));
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)child);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(kill(child, SIGKILL), 0);
}

static void put_oom_score_adj(const char *text)
{
	FILE *file = fopen("/proc/self/oom_score_adj", "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	fclose(file);
}

/* dhatd may be spared when memory ends; a command is not, nor better off than it was. */
static void test_it_is_not_spared(void **state)
{
	const char *path = script("cat /proc/self/oom_score_adj >\"$(dirname \"$0\")/score\"");
	FILE *file = fopen("/proc/self/oom_score_adj", "r");
	char before[16] = "";

	assert_non_null(file);
	assert_non_null(fgets(before, sizeof(before), file));
	fclose(file);
	if (geteuid() == 0) {
		put_oom_score_adj("-250");
		run(path, "A=b");
		assert_string_equal(content("score"), "0\n");
	}
	put_oom_score_adj("300");
	run(path, "A=b");
	assert_string_equal(content("score"), "300\n");
	if (geteuid() == 0)
		put_oom_score_adj(before);
}

/* What fires for all processes of a host at once: eight at a time, the others in turn. */
static void test_the_others_wait(void **state)
{
	struct commands *commands = NULL;
	struct dhat_error err = { 0 };
	char *none[] = { NULL }, line[256];
	const char *path = script("echo \"$1\" >>\"$(dirname \"$0\")/order\"");

	assert_int_equal(commands_new(&commands), 0);
	for (int i = 0; i < COMMANDS_MAX; i++)
		assert_int_equal(commands_start(commands, "sleep 0.2", none, &err), 0);
	for (int i = 0; i < COMMANDS_MAX + 2; i++) {
		snprintf(line, sizeof(line), "%s %d", path, i);
		assert_int_equal(commands_start(commands, line, none, &err), 0);
	}
	assert_int_equal(commands_running(commands), COMMANDS_MAX);
	assert_int_equal(commands_waiting(commands), COMMANDS_MAX + 2);
	said[0] = '\0';
	commands_finish(commands, tell, NULL);
	assert_int_equal(commands_waiting(commands), 0);
	while (commands_running(commands))
		commands_look_after(commands, tell, NULL);
	assert_string_equal(said, "");
	for (int i = 0; i < COMMANDS_MAX + 2; i++) {
		snprintf(line, sizeof(line), "%d\n", i);
		assert_non_null(strstr(content("order"), line));
	}
	assert_int_equal(commands_start(commands, "  ", none, &err), -EINVAL);
	commands_free(commands);
}

static void test_not_too_many(void **state)
{
	struct commands *commands = NULL;
	struct dhat_error err = { 0 };
	char *none[] = { NULL };

	assert_int_equal(commands_new(&commands), 0);
	for (int i = 0; i < COMMANDS_MAX; i++)
		assert_int_equal(commands_start(commands, "sleep 0.2", none, &err), 0);
	for (int i = 0; i < COMMANDS_WAITING; i++)
		assert_int_equal(commands_start(commands, "true", none, &err), 0);
	assert_int_equal(commands_start(commands, "true", none, &err), -EAGAIN);
	assert_non_null(strstr(err.message, "256 wait: true is not run this time"));
	while (commands_running(commands) == COMMANDS_MAX && commands_waiting(commands))
		commands_look_after(commands, tell, NULL); /* until the first make room */
	assert_in_range(commands_waiting(commands), 0, COMMANDS_WAITING - 1);
	commands_free(commands); /* the rest is not run */
}

static int set_up(void **state)
{
	setenv("A_SECRET_OF_OURS", "x", 1);
	unsetenv("SUDO_UID");
	return make_folder(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_failures_are_told),
		cmocka_unit_test(test_the_others_wait),
		cmocka_unit_test(test_not_too_many),
		cmocka_unit_test(test_it_is_not_spared),
		cmocka_unit_test(test_what_it_leaves_behind_goes_on),
	};

	return cmocka_run_group_tests_name("command", tests, set_up, remove_folder);
}
