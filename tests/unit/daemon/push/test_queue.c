/* queue: what was added is there, in its order, within its bounds, whatever ends its dhatd. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/push/queue.h"
#include "tests/unit/folder.h"

#define PLENTY (1ull << 30)

static struct queue *open_queue(uint64_t max_bytes)
{
	struct queue *queue = NULL;
	struct dhat_error err = { 0 };

	if (queue_open(folder, max_bytes, &queue, &err))
		fail_msg("%s", err.message);
	return queue;
}

static int put(void *text, FILE *file, struct dhat_error *err)
{
	fputs(text, file);
	return 0;
}

static void add(struct queue *queue, char *text)
{
	assert_int_equal(queue_add(queue, put, text, NULL), 0);
}

static void assert_first(struct queue *queue, const char *text, bool is_done)
{
	char path[PATH_MAX], found[64] = "";
	FILE *file;

	assert_int_equal(queue_take(queue, QUEUE_OLDEST, path), 0);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(found, sizeof(found), file));
	fclose(file);
	assert_string_equal(found, text);
	queue_let_go(queue, is_done);
}

static void assert_state(struct queue *queue, uint64_t files, uint64_t bytes, uint64_t dropped)
{
	struct queue_state state;

	queue_look(queue, &state);
	assert_int_equal(state.files, files);
	assert_int_equal(state.bytes, bytes);
	assert_int_equal(state.dropped, dropped);
}

static unsigned count_files(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned count = 0;

	while ((entry = readdir(dir)))
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return count;
}

static void test_order(void **state)
{
	struct queue *queue = open_queue(PLENTY);
	char path[PATH_MAX];

	add(queue, "one");
	add(queue, "two");
	assert_first(queue, "one", false);
	assert_first(queue, "one", true);
	add(queue, "three");
	assert_first(queue, "two", true);
	assert_first(queue, "three", true);
	assert_int_equal(queue_take(queue, QUEUE_OLDEST, path), -ENOENT);
	assert_state(queue, 0, 0, 0);
	assert_int_equal(count_files(), 0);
	queue_close(queue);
}

/* Another dhatd begins where the last one ended; meanwhile it is the last one's. */
static void test_is_there_again(void **state)
{
	struct queue *queue = open_queue(PLENTY), *other = NULL;
	struct dhat_error err = { 0 };

	add(queue, "one");
	add(queue, "two");
	assert_int_equal(queue_open(folder, PLENTY, &other, &err), -EBUSY);
	assert_int_equal(err.code, DHAT_EXIT_ALREADY);
	queue_close(queue);
	queue = open_queue(PLENTY);
	assert_state(queue, 2, 6, 0);
	add(queue, "three");
	assert_first(queue, "one", true);
	assert_first(queue, "two", true);
	assert_first(queue, "three", true);
	queue_close(queue);
}

/* What it has been told is there: a process adds until it is killed in the middle of it. */
static void test_survives_kill(void **state)
{
	char line[32], path[PATH_MAX], text[32];
	unsigned told = 0, found = 0;
	struct queue *queue;
	int ends[2], status;
	FILE *file;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		queue = open_queue(PLENTY);
		for (unsigned i = 0;; i++) {
			snprintf(text, sizeof(text), "%u", i);
			if (queue_add(queue, put, text, NULL) == 0)
				dprintf(ends[1], "%u\n", i);
		}
	}
	close(ends[1]);
	file = fdopen(ends[0], "r");
	while (told < 20 && fgets(line, sizeof(line), file))
		told++;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	while (fgets(line, sizeof(line), file))
		told++;
	fclose(file);
	queue = open_queue(PLENTY);
	for (; queue_take(queue, QUEUE_OLDEST, path) == 0; found++) {
		snprintf(text, sizeof(text), "%u", found);
		assert_first(queue, text, true);
	}
	assert_true(found >= told && told >= 20);
	assert_int_equal(count_files(), 0); /* nor is half a one left */
	queue_close(queue);
}

static void test_bound_of_bytes(void **state)
{
	struct queue *queue = open_queue(10);

	add(queue, "aaaa");
	add(queue, "bbbb");
	add(queue, "cccc"); /* 12 */
	assert_state(queue, 2, 8, 1);
	assert_first(queue, "bbbb", false);
	queue_set_max_bytes(queue, 5);
	assert_state(queue, 1, 4, 2);
	add(queue, "the newest stays"); /* whatever it takes */
	assert_state(queue, 1, 16, 3);
	assert_first(queue, "the newest stays", true);
	queue_close(queue);
}

/* One that is being sent, and has to go: its end is nobody else's. */
static void test_pruned_while_taken(void **state)
{
	struct queue *queue = open_queue(10);
	char path[PATH_MAX];

	add(queue, "aaaa");
	add(queue, "bbbb");
	assert_int_equal(queue_take(queue, QUEUE_OLDEST, path), 0);
	add(queue, "cccc");
	queue_let_go(queue, true);
	assert_state(queue, 2, 8, 1);
	assert_first(queue, "bbbb", true);
	assert_first(queue, "cccc", true);
	queue_close(queue);
}

/* The newest goes out of its turn; whoever is older, or came meanwhile, keeps his place. */
static void test_the_newest_is_taken(void **state)
{
	struct queue *queue = open_queue(100);
	char path[PATH_MAX];

	add(queue, "aaaa");
	add(queue, "bbbb");
	add(queue, "cc");
	assert_int_equal(queue_take(queue, QUEUE_NEWEST, path), 0);
	add(queue, "dddd");
	queue_let_go(queue, true);
	assert_int_equal(access(path, F_OK), -1);
	assert_state(queue, 3, 12, 0);
	assert_int_equal(queue_take(queue, QUEUE_NEWEST, path), 0);
	queue_let_go(queue, false);
	assert_first(queue, "aaaa", true);
	assert_first(queue, "bbbb", true);
	assert_first(queue, "dddd", true);
	queue_close(queue);
}

static void touch(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	close(open(path, O_CREAT | O_WRONLY, 0600));
}

/* By a name of its own an empty file is an entry, too: cheap ones to count with. */
static void test_bound_of_files(void **state)
{
	struct queue *queue;
	char name[64];

	for (unsigned i = 0; i < PUSH_QUEUE_FILES + 5; i++) {
		snprintf(name, sizeof(name), "%020u.push", i);
		touch(name);
	}
	queue = open_queue(PLENTY);
	assert_state(queue, PUSH_QUEUE_FILES, 0, 5);
	queue_close(queue);
}

static void test_others_files_stay(void **state)
{
	struct queue *queue;

	touch("note.txt");
	touch("12.push");
	touch(".00000000000000000012.push.AbCdEf"); /* half a one, of a killed dhatd */
	queue = open_queue(PLENTY);
	assert_state(queue, 0, 0, 0);
	assert_int_equal(count_files(), 2);
	queue_close(queue);
}

static int refuse(void *text, FILE *file, struct dhat_error *err)
{
	fputs(text, file);
	return -ENOMEM;
}

static void test_failed_adds_leave_nothing(void **state)
{
	struct queue *queue = open_queue(PLENTY);

	assert_int_equal(queue_add(queue, refuse, "x", NULL), -ENOMEM);
	assert_state(queue, 0, 0, 0);
	assert_int_equal(count_files(), 0);
	queue_close(queue);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_is_there_again),
		TEST(test_survives_kill),
		TEST(test_bound_of_bytes),
		TEST(test_pruned_while_taken),
		TEST(test_the_newest_is_taken),
		TEST(test_bound_of_files),
		TEST(test_others_files_stay),
		TEST(test_failed_adds_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
