/* hostile_judge: what becomes of dhatd when a target's files are made to harm it?
 *
 *   hostile_judge [DIRECTORY]
 *
 * Hands every file of the directory (default: what tests/fuzz/make_corpus.py writes) to the worker:
 * describe it, build its unwind table, name addresses in it. Each request has to be answered, by a
 * result or by a reason, in bounded time; afterwards the same worker has to give a good file its
 * table and its names. A worker that fell over is no failure of dhatd, but is counted and named:
 * it cost that object its names or rules, and a restart.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/worker/worker.h"
#include "daemon/worker/worker_main.h"
#include "proto/base/cleanup.h"

#define MAX_ROWS 100000
#define MAX_SECONDS 15 /* of one request: the worker's own limit and what a restart takes */

/* All that can be asked of a file; the customs are of every file. */
static char named[] = "free:file:free(ptr=arg1)", placed[] = "free:file+0x1040(ptr=arg1)";
static char *customs[] = { named, placed, NULL };
static const struct survey_question question = {
	.path = "/file",
	.customs = customs,
	.use_exit_probes = true,
	.wants_mappers = true,
	.wants_candidates = true,
};

struct tally {
	unsigned int files, described, tables, named, reasons, fallen, wrong;
	double slowest;
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* r and err of one request that began at `began`. */
static void note(struct tally *tally, const char *file, const char *what, int r,
		 const struct dhat_error *err, double began)
{
	double took = seconds() - began;

	if (took > tally->slowest)
		tally->slowest = took;
	if ((r < 0 && (err->code == DHAT_EXIT_OK || !err->message[0])) || took > MAX_SECONDS) {
		printf("%s: %s: %s after %.1f s\n", file, what, r < 0 ? "no reason" : "an answer",
		       took);
		tally->wrong++;
	}
	if (r >= 0)
		return;
	tally->reasons++;
	if (strstr(err->message, "worker")) {
		printf("# %s: %s: %s\n", file, what, err->message);
		tally->fallen++;
	}
}

static void judge_file(struct worker *worker, int fd, const char *file, struct tally *tally)
{
	static const struct name_query queries[] = {
		{ 0x1000, true }, { 0x1044, false }, { 0x1fff, false }, { UINT64_MAX, false }
	};
	struct survey *survey = NULL;
	struct cfi_table *table = NULL;
	struct names *names = NULL;
	struct dhat_error err;
	double began;
	int r;

	err = (struct dhat_error){};
	began = seconds();
	r = worker_survey(worker, fd, &question, &survey, &err);
	note(tally, file, "description", r, &err, began);
	tally->described += r == 0;
	err = (struct dhat_error){};
	began = seconds();
	r = worker_build_cfi(worker, fd, MAX_ROWS, &table, &err);
	note(tally, file, "table", r, &err, began);
	tally->tables += r == 0;
	err = (struct dhat_error){};
	began = seconds();
	r = worker_name(worker, fd, queries, ARRAY_SIZE(queries), false, NULL, &names, &err);
	note(tally, file, "names", r, &err, began);
	tally->named += r == 0;
	survey_free(survey);
	cfi_table_free(table);
	names_free(names);
}

/* After all that. */
static bool still_works(struct worker *worker)
{
	_cleanup_close_ int fd = open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC);
	struct survey *survey = NULL;
	struct cfi_table *table = NULL;
	struct dhat_error err = {};
	bool is_good;

	is_good = worker_survey(worker, fd, &question, &survey, &err) == 0 &&
		  survey->allocators.count >= 8 && survey->mappers.count >= 3 &&
		  worker_build_cfi(worker, fd, MAX_ROWS, &table, &err) == 0 &&
		  table->row_count > 10000;
	if (!is_good)
		printf("libc: %s\n", err.message);
	survey_free(survey);
	cfi_table_free(table);
	return is_good;
}

static int judge_folder(struct worker *worker, const char *path, struct tally *tally)
{
	struct dirent **entries;
	int i, fd, count = scandir(path, &entries, NULL, alphasort);
	char name[4096];
	struct stat st;

	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
			tally->files++;
			judge_file(worker, fd, entries[i]->d_name, tally);
		}
		if (fd >= 0)
			close(fd);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return count;
}

int main(int argc, char **argv)
{
	char folder[] = "/tmp/dhat-hostile-XXXXXX", command[128];
	struct worker *worker = NULL;
	struct tally tally = {};
	bool is_good;

	if (argc > 1 && !strcmp(argv[1], WORKER_ARGUMENT))
		return worker_main(argc, argv);
	if (worker_new(NULL, &worker, NULL) < 0)
		return 1;
	if (argc > 1) {
		judge_folder(worker, argv[1], &tally);
	} else {
		if (!mkdtemp(folder))
			return 1;
		chmod(folder, 0755);
		snprintf(command, sizeof(command), "tests/fuzz/make_corpus.py %s", folder);
		if (system(command) == 0) {
			strcat(strcpy(command, folder), "/elf");
			judge_folder(worker, command, &tally);
		}
		snprintf(command, sizeof(command), "rm -r %s", folder);
		if (system(command) != 0)
			return 1;
	}
	is_good = still_works(worker) && tally.files >= 200 && !tally.wrong;
	worker_free(worker);
	printf("# %u hostile files: %u described, %u tables, %u with names; %u reasons, of which "
	       "%u "
	       "for a worker that fell; slowest answer %.2f s\n",
	       tally.files, tally.described, tally.tables, tally.named, tally.reasons, tally.fallen,
	       tally.slowest);
	return is_good ? 0 : 1;
}
