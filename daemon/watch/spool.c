#include "spool.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define SUFFIX ".dhat"
#define PROGRAM_CHARS 40 /* more of a name is cut */
#define TIME_CHARS 16	 /* 20261129T031502Z */

/* ---- names ----------------------------------------------------------------------------------- */

void spool_name(const char *program, pid_t pid, uint64_t unix_ns, const char *word,
		char ret[SPOOL_NAME_CHARS])
{
	time_t seconds = unix_ns / 1000000000;
	char safe[PROGRAM_CHARS + 1] = "", when[TIME_CHARS + 1];
	struct tm tm;

	for (size_t i = 0; i < PROGRAM_CHARS && program[i]; i++) {
		/* in the C locale: by no other is a name the same tomorrow */
		bool is_plain = (program[i] >= 'a' && program[i] <= 'z') ||
				(program[i] >= 'A' && program[i] <= 'Z') ||
				isdigit((unsigned char)program[i]) ||
				(i && strchr("._-", program[i]));

		safe[i] = is_plain ? program[i] : '_';
	}
	gmtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(ret, SPOOL_NAME_CHARS, "%s-%d-%s-%s" SUFFIX, *safe ? safe : "_", (int)pid, when,
		 word);
}

#define NAME_TRIES 1000 /* there is an end: then one is replaced */

void spool_new_name(const char *folder, const char *program, pid_t pid, uint64_t unix_ns,
		    const char *word, char ret[SPOOL_NAME_CHARS])
{
	for (int i = 0; i < NAME_TRIES; i++) {
		char path[PATH_MAX];
		struct stat st;

		spool_name(program, pid, unix_ns + i * 1000000000ull, word, ret);
		if (snprintf(path, sizeof(path), "%s/%s", folder, ret) >= (int)sizeof(path) ||
		    lstat(path, &st))
			return;
	}
}

static bool is_time(const char *text)
{
	for (size_t i = 0; i < TIME_CHARS; i++)
		if (i == 8		  ? text[i] != 'T'
		    : i == TIME_CHARS - 1 ? text[i] != 'Z'
					  : !isdigit((unsigned char)text[i]))
			return false;
	return text[TIME_CHARS] == '\0';
}

/* Cut off what is behind the last dash; NULL: there is none, or nothing before it. */
static char *cut_part(char *text)
{
	char *dash = strrchr(text, '-');

	if (!dash || dash == text)
		return NULL;
	*dash = '\0';
	return dash + 1;
}

bool spool_parse(const char *name, struct spool_file *ret)
{
	size_t length = strlen(name);
	const char *word, *when, *pid;

	if (length < strlen(SUFFIX) || length >= sizeof(ret->program) ||
	    strcmp(name + length - strlen(SUFFIX), SUFFIX))
		return false;
	memcpy(ret->program, name, length - strlen(SUFFIX));
	ret->program[length - strlen(SUFFIX)] = '\0';
	word = cut_part(ret->program);
	when = word ? cut_part(ret->program) : NULL;
	pid = when ? cut_part(ret->program) : NULL;
	if (!pid || !*pid || pid[strspn(pid, "0123456789")] || !is_time(when) || !*word ||
	    word[strspn(word, "abcdefghijklmnopqrstuvwxyz")])
		return false;
	ret->kind = strcmp(word, SPOOL_EVERY) == 0  ? SPOOL_KIND_EVERY
		    : strcmp(word, SPOOL_STOP) == 0 ? SPOOL_KIND_STOP
						    : SPOOL_KIND_TRIGGER;
	memcpy(ret->time, when, TIME_CHARS + 1);
	return true;
}

/* ---- the folder ------------------------------------------------------------------------------ */

#define TEMPORARY_CHARS 7 /* ".XXXXXX": output.c */

/* Of one that was being written: "." in front of a name of ours, and that behind it. */
static bool is_temporary(const char *name)
{
	size_t length = strlen(name);
	char inner[SPOOL_NAME_CHARS];
	struct spool_file file;

	if (*name != '.' || length <= 1 + TEMPORARY_CHARS ||
	    length - 1 - TEMPORARY_CHARS >= sizeof(inner) || name[length - TEMPORARY_CHARS] != '.')
		return false;
	snprintf(inner, sizeof(inner), "%.*s", (int)(length - 1 - TEMPORARY_CHARS), name + 1);
	return spool_parse(inner, &file);
}

static void sweep(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (is_temporary(entry->d_name) &&
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_mtim.tv_sec + SPOOL_LEFT_OVER_SECONDS < time(NULL))
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
}

int spool_prepare(const char *folder, struct dhat_error *err)
{
	if (mkdir(folder, 0700) && errno != EEXIST)
		return dhat_error_set(err, errno, DHAT_EXIT_OUTPUT,
				      "cannot make the folder %s for profiles: %s", folder,
				      strerror(errno));
	if (access(folder, W_OK | X_OK))
		return dhat_error_set(err, errno, DHAT_EXIT_OUTPUT,
				      "cannot write profiles to the folder %s: %s", folder,
				      strerror(errno));
	sweep(folder);
	return 0;
}

struct listed {
	struct spool_file file;
	char name[SPOOL_NAME_CHARS];
	bool is_alike, stays;
};

struct model {
	const char *name;
	struct spool_file file;
	char *const *others;
};

struct listing {
	struct listed *files;
	size_t count, capacity;
};

static bool are_alike(const struct spool_file *a, const struct spool_file *b)
{
	return a->kind == b->kind && strcmp(a->program, b->program) == 0;
}

static bool stays(const struct model *model, const char *name)
{
	for (char *const *other = model->others; other && *other; other++)
		if (strcmp(*other, name) == 0)
			return true;
	return strcmp(model->name, name) == 0;
}

static void list(DIR *dir, const struct model *model, struct listing *ret)
{
	struct listed found;
	struct dirent *entry;
	struct stat st;

	while ((entry = readdir(dir))) {
		if (!spool_parse(entry->d_name, &found.file) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    !S_ISREG(st.st_mode) ||
		    array_make_room(&ret->files, &ret->capacity, ret->count))
			continue;
		/* no longer than that: spool_parse() */
		memcpy(found.name, entry->d_name, strlen(entry->d_name) + 1);
		found.is_alike = are_alike(&found.file, &model->file);
		found.stays = stays(model, found.name);
		ret->files[ret->count++] = found;
	}
}

/* What stays, then the newest first. */
static int by_time(const void *a_, const void *b_)
{
	const struct listed *a = a_, *b = b_;
	int order = b->stays - a->stays;

	order = order ?: strcmp(b->file.time, a->file.time);
	return order ?: strcmp(b->name, a->name);
}

size_t spool_prune(const char *folder, const char *name, size_t keep, char *const *others)
{
	struct model model = { .name = name, .others = others };
	struct listing all = { 0 };
	size_t alike = 0, kept = 0, gone = 0;
	DIR *dir = opendir(folder);

	if (dir && spool_parse(name, &model.file))
		list(dir, &model, &all);
	if (all.count)
		qsort(all.files, all.count, sizeof(*all.files), by_time);
	for (size_t i = 0; i < all.count; i++) {
		alike += all.files[i].is_alike;
		if (all.files[i].stays ||
		    ((!all.files[i].is_alike || alike <= keep) && kept < SPOOL_FILES_MAX))
			kept++;
		else
			gone += unlinkat(dirfd(dir), all.files[i].name, 0) == 0;
	}
	free(all.files);
	if (dir)
		closedir(dir);
	return gone;
}
