#include "queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/output.h"

#define SUFFIX ".push"
#define DIGITS 20 /* of a name: when it was added, in ns since 1970 */

#define LOCK_TRIES 5
#define LOCK_INTERVAL_US 10000

struct entry {
	uint64_t name, bytes;
};

struct queue {
	char *folder;
	int fd; /* of the folder, locked */
	pthread_mutex_t lock;
	uint64_t max_bytes, bytes, dropped;
	struct entry *entries; /* in their order; from `first` on */
	size_t first, end, room;
	uint64_t taken; /* the name of that which is; 0: none */
};

DEFINE_CLEANUP_PTR(struct dhat_output *, dhat_output_free)
DEFINE_CLEANUP_PTR(struct queue *, queue_close)

/* ---- files --------------------------------------------------------------------------------- */

static void path_of(const char *folder, uint64_t name, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/%0*" PRIu64 SUFFIX, folder, DIGITS, name);
}

static bool parse_name(const char *text, uint64_t *ret)
{
	size_t digits = strspn(text, "0123456789");

	if (digits != DIGITS || strcmp(text + digits, SUFFIX))
		return false;
	errno = 0;
	*ret = strtoull(text, NULL, 10);
	return errno == 0;
}

static int by_name(const void *a_, const void *b_)
{
	const struct entry *a = a_, *b = b_;

	return a->name < b->name ? -1 : a->name > b->name;
}

/* Of one that was being written when its dhatd was killed: see output.c. */
static bool is_left_over(const char *name)
{
	uint64_t number;
	char text[DIGITS + sizeof(SUFFIX)];

	if (*name != '.' || strlen(name) <= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%s", name + 1);
	return parse_name(text, &number);
}

static bool find_file(int folder, const char *name, struct entry *ret)
{
	struct stat st;

	if (!parse_name(name, &ret->name) || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISREG(st.st_mode))
		return false;
	ret->bytes = st.st_size;
	return true;
}

static int read_folder(struct queue *queue)
{
	DIR *dir = opendir(queue->folder);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0 && (entry = readdir(dir))) {
		struct entry found;

		if (is_left_over(entry->d_name))
			unlinkat(dirfd(dir), entry->d_name, 0);
		if (!find_file(dirfd(dir), entry->d_name, &found))
			continue;
		r = array_make_room(&queue->entries, &queue->room, queue->end);
		if (r == 0)
			queue->entries[queue->end++] = found;
		queue->bytes += found.bytes;
	}
	closedir(dir);
	if (queue->end)
		qsort(queue->entries, queue->end, sizeof(*queue->entries), by_name);
	return r;
}

/* Who only peeks has it for a moment. */
static int lock_folder(int fd)
{
	int r = flock(fd, LOCK_EX | LOCK_NB);

	for (int i = 0; r && errno == EWOULDBLOCK && i < LOCK_TRIES; i++) {
		usleep(LOCK_INTERVAL_US);
		r = flock(fd, LOCK_EX | LOCK_NB);
	}
	return r;
}

static int open_folder(struct queue *queue, struct dhat_error *err)
{
	if (mkdir(queue->folder, 0700) && errno != EEXIST)
		return dhat_error_set(err, errno, DHAT_EXIT_OUTPUT,
				      "cannot make the folder %s for what is to be pushed: %s",
				      queue->folder, strerror(errno));
	queue->fd = open(queue->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (queue->fd < 0)
		return dhat_error_set(err, errno, DHAT_EXIT_OUTPUT, "cannot open the folder %s: %s",
				      queue->folder, strerror(errno));
	if (lock_folder(queue->fd))
		return dhat_error_set(
			err, EBUSY, DHAT_EXIT_ALREADY,
			"another dhatd pushes from %s: give this one a folder of its own, by "
			"--record",
			queue->folder);
	return 0;
}

/* ---- entries; with `lock` ------------------------------------------------------------------ */

/* Of the array what is no longer used is given back now and then. */
static void forget_first(struct queue *queue)
{
	queue->bytes -= queue->entries[queue->first++].bytes;
	if (queue->first < 64 || queue->first < queue->end / 2)
		return;
	memmove(queue->entries, queue->entries + queue->first,
		(queue->end - queue->first) * sizeof(*queue->entries));
	queue->end -= queue->first;
	queue->first = 0;
}

static void remove_at(struct queue *queue, size_t at)
{
	char path[PATH_MAX];

	path_of(queue->folder, queue->entries[at].name, path);
	unlink(path);
	if (at == queue->first) {
		forget_first(queue);
		return;
	}
	queue->bytes -= queue->entries[at].bytes;
	queue->end--;
	memmove(&queue->entries[at], &queue->entries[at + 1],
		(queue->end - at) * sizeof(*queue->entries));
}

static bool is_over(const struct queue *queue)
{
	return queue->end - queue->first > PUSH_QUEUE_FILES || queue->bytes > queue->max_bytes;
}

/* One that is under way goes first of all: the newest says most. It may arrive all the same. */
static void prune(struct queue *queue)
{
	while (queue->end > queue->first + 1 && is_over(queue)) {
		remove_at(queue, queue->first);
		queue->dropped++;
	}
}

/* ---- what others ask ----------------------------------------------------------------------- */

int queue_open(const char *folder, uint64_t max_bytes, struct queue **ret, struct dhat_error *err)
{
	_cleanup_(queue_close_ptr) struct queue *queue = calloc(1, sizeof(*queue));
	int r;

	if (!queue)
		return dhat_error_errno(err, ENOMEM, "cannot push profiles");
	queue->fd = -1;
	queue->max_bytes = max_bytes;
	pthread_mutex_init(&queue->lock, NULL);
	queue->folder = strdup(folder);
	if (!queue->folder)
		return dhat_error_errno(err, ENOMEM, "cannot push profiles");
	r = open_folder(queue, err);
	if (r)
		return r;
	r = read_folder(queue);
	if (r)
		return dhat_error_errno(err, -r, "cannot read the folder %s", folder);
	prune(queue);
	*ret = take_ptr(queue);
	return 0;
}

void queue_close(struct queue *queue)
{
	if (!queue)
		return;
	if (queue->fd >= 0)
		close(queue->fd);
	pthread_mutex_destroy(&queue->lock);
	free(queue->entries);
	free(queue->folder);
	free(queue);
}

void queue_set_max_bytes(struct queue *queue, uint64_t max_bytes)
{
	pthread_mutex_lock(&queue->lock);
	queue->max_bytes = max_bytes;
	prune(queue);
	pthread_mutex_unlock(&queue->lock);
}

/* A name that no other has had, behind all there are, whatever the clock says. */
static int claim_name(struct queue *queue, uint64_t *ret)
{
	uint64_t now = clock_now_ns(CLOCK_REALTIME);
	int r;

	pthread_mutex_lock(&queue->lock);
	r = array_make_room(&queue->entries, &queue->room, queue->end);
	if (r == 0 && queue->end > queue->first && queue->entries[queue->end - 1].name >= now)
		now = queue->entries[queue->end - 1].name + 1;
	pthread_mutex_unlock(&queue->lock);
	*ret = now;
	return r;
}

static int write_file(const char *path, queue_write write, void *context, uint64_t *ret_bytes,
		      struct dhat_error *err)
{
	_cleanup_(dhat_output_free_ptr) struct dhat_output *output = NULL;
	struct stat st = { 0 };
	int r = dhat_output_new(path, &output, err);

	if (r == 0)
		r = write(context, dhat_output_stream(output), err);
	if (r == 0)
		r = dhat_output_commit(output, err);
	if (r == 0 && stat(path, &st))
		return dhat_error_errno(err, errno, "cannot keep %s", path);
	*ret_bytes = st.st_size;
	return r;
}

int queue_add(struct queue *queue, queue_write write, void *context, struct dhat_error *err)
{
	struct entry entry = { 0 };
	char path[PATH_MAX];
	int r = claim_name(queue, &entry.name);

	if (r)
		return dhat_error_errno(err, -r, "cannot keep what is to be pushed");
	path_of(queue->folder, entry.name, path);
	r = write_file(path, write, context, &entry.bytes, err);
	if (r)
		return r;
	pthread_mutex_lock(&queue->lock);
	queue->entries[queue->end++] = entry;
	queue->bytes += entry.bytes;
	prune(queue);
	pthread_mutex_unlock(&queue->lock);
	return 0;
}

int queue_take(struct queue *queue, enum queue_end which, char ret_path[PATH_MAX])
{
	bool is_there;

	pthread_mutex_lock(&queue->lock);
	is_there = queue->end > queue->first;
	queue->taken = 0;
	if (is_there) {
		size_t at = which == QUEUE_OLDEST ? queue->first : queue->end - 1;

		queue->taken = queue->entries[at].name;
		path_of(queue->folder, queue->taken, ret_path);
	}
	pthread_mutex_unlock(&queue->lock);
	return is_there ? 0 : -ENOENT;
}

void queue_let_go(struct queue *queue, bool is_done)
{
	size_t at;

	pthread_mutex_lock(&queue->lock);
	at = queue->first;
	while (at < queue->end && queue->entries[at].name != queue->taken)
		at++;
	if (at < queue->end && is_done) /* else it has gone meanwhile */
		remove_at(queue, at);
	queue->taken = 0;
	pthread_mutex_unlock(&queue->lock);
}

void queue_look(struct queue *queue, struct queue_state *ret)
{
	pthread_mutex_lock(&queue->lock);
	*ret = (struct queue_state){ queue->end - queue->first, queue->bytes, queue->dropped };
	pthread_mutex_unlock(&queue->lock);
}

int queue_peek(const char *folder, struct queue_state *ret, char ret_oldest[PATH_MAX])
{
	struct queue_state state = { 0 };
	uint64_t oldest = UINT64_MAX;
	DIR *dir = opendir(folder);
	struct dirent *entry;

	if (!dir)
		return -ENOENT;
	if (flock(dirfd(dir), LOCK_SH | LOCK_NB)) {
		closedir(dir);
		return -EBUSY;
	}
	while ((entry = readdir(dir))) {
		struct entry found;

		if (!find_file(dirfd(dir), entry->d_name, &found))
			continue;
		state.files++;
		state.bytes += found.bytes;
		oldest = found.name < oldest ? found.name : oldest;
	}
	closedir(dir);
	if (!state.files)
		return -ENOENT;
	*ret = state;
	path_of(folder, oldest, ret_oldest);
	return 0;
}
