#include "pusher.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "left.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/say.h"
#include "request.h"

DEFINE_CLEANUP_PTR(struct since *, since_free)

struct pusher {
	const char *folder;
	pthread_mutex_t
		use; /* held while one is added to or ends, which takes as long as a disk does */
	pthread_mutex_t lock; /* guards the list; whoever changes it has both, `use` first */
	struct destination *list[PUSH_DESTINATIONS];
	size_t count;
	bool has_curl; /* it was needed */
};

int pusher_new(const char *folder, struct pusher **ret, struct dhat_error *err)
{
	struct pusher *pusher = calloc(1, sizeof(*pusher));

	if (!pusher)
		return dhat_error_errno(err, ENOMEM, "cannot push profiles");
	pusher->folder = folder;
	pthread_mutex_init(&pusher->use, NULL);
	pthread_mutex_init(&pusher->lock, NULL);
	*ret = pusher;
	return 0;
}

void pusher_stop(struct pusher *pusher)
{
	uint64_t deadline_ns = clock_now_ns(CLOCK_MONOTONIC) + PUSH_LAST_NS;

	if (!pusher)
		return;
	pthread_mutex_lock(&pusher->use);
	for (size_t i = 0; i < pusher->count; i++)
		destination_ask_to_end(pusher->list[i]);
	for (size_t i = 0; i < pusher->count; i++)
		destination_end(pusher->list[i], deadline_ns);
	pthread_mutex_unlock(&pusher->use);
}

void pusher_free(struct pusher *pusher)
{
	if (!pusher)
		return;
	pusher_stop(pusher);
	for (size_t i = 0; i < pusher->count; i++)
		destination_free(pusher->list[i]);
	pthread_mutex_destroy(&pusher->lock);
	pthread_mutex_destroy(&pusher->use);
	if (pusher->has_curl)
		curl_global_cleanup();
	free(pusher);
}

/* ---- which there are ----------------------------------------------------------------------- */

/* FNV-1a, 64 bits: the same for each dhatd */
static uint64_t mix(uint64_t hash, const char *text)
{
	do {
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3ull;
	} while (*text++);
	return hash;
}

static void folder_of(const struct pusher *pusher, const struct push_settings *settings,
		      char ret[PATH_MAX])
{
	uint64_t hash = mix(0xcbf29ce484222325ull, settings->url);

	hash = mix(hash, push_form_name(settings->form));
	hash = mix(hash, settings->tenant ?: "");
	snprintf(ret, PATH_MAX, "%s/%016" PRIx64, pusher->folder, hash);
}

/* NULL: it is none of them. */
static struct destination *find(const struct pusher *pusher, const struct push_settings *settings)
{
	for (size_t i = 0; i < pusher->count; i++)
		if (push_settings_is_same(destination_settings(pusher->list[i]), settings))
			return pusher->list[i];
	return NULL;
}

static bool is_in(const struct push_settings *settings, const struct push_settings *const *list,
		  size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i]->url && push_settings_is_same(settings, list[i]))
			return true;
	return false;
}

/* With `use`, as what follows. */
static void drop_others(struct pusher *pusher, const struct push_settings *const *list,
			size_t count)
{
	uint64_t deadline_ns = clock_now_ns(CLOCK_MONOTONIC) + PUSH_LAST_NS;
	struct destination *gone[PUSH_DESTINATIONS];
	size_t gone_count = 0;

	for (size_t i = 0; i < pusher->count;) {
		if (is_in(destination_settings(pusher->list[i]), list, count)) {
			i++;
			continue;
		}
		gone[gone_count++] = pusher->list[i];
		destination_ask_to_end(pusher->list[i]);
		pthread_mutex_lock(&pusher->lock);
		pusher->list[i] = pusher->list[--pusher->count];
		pthread_mutex_unlock(&pusher->lock);
	}
	for (size_t i = 0; i < gone_count; i++) {
		char folder[PATH_MAX];

		folder_of(pusher, destination_settings(gone[i]), folder);
		destination_end(gone[i], deadline_ns);
		destination_free(gone[i]);
		rmdir(folder); /* if nothing is left */
	}
}

/* It, and the one above it. */
static int make_folders(const char *folder, struct dhat_error *err)
{
	const char *slash = strrchr(folder, '/');
	_cleanup_free_ char *above = slash ? strndup(folder, slash - folder) : NULL;

	if (above && *above)
		mkdir(above, 0700); /* what is wrong with it shows in the next line */
	if (mkdir(folder, 0700) == 0 || errno == EEXIST)
		return 0;
	return dhat_error_set(err, errno, DHAT_EXIT_OUTPUT,
			      "cannot make the folder %s for what is to be pushed: %s", folder,
			      strerror(errno));
}

static int begin(struct pusher *pusher, const struct push_settings *settings,
		 struct dhat_error *err)
{
	char folder[PATH_MAX];
	const struct destination_options options = { .settings = settings, .folder = folder };
	struct destination *destination;
	int r;

	if (pusher->count == PUSH_DESTINATIONS)
		return dhat_error_set(err, E2BIG, DHAT_EXIT_USAGE,
				      "--push %s: more than %d destinations are too many",
				      settings->url, PUSH_DESTINATIONS);
	if (!pusher->has_curl && curl_global_init(CURL_GLOBAL_DEFAULT))
		return dhat_error_errno(err, ENOMEM, "cannot push profiles");
	pusher->has_curl = true;
	r = make_folders(pusher->folder, err);
	if (r)
		return r;
	folder_of(pusher, settings, folder);
	r = destination_new(&options, &destination, err);
	if (r)
		return r;
	pthread_mutex_lock(&pusher->lock);
	pusher->list[pusher->count++] = destination;
	pthread_mutex_unlock(&pusher->lock);
	return 0;
}

int pusher_set(struct pusher *pusher, const struct push_settings *const *list, size_t count,
	       struct dhat_error *err)
{
	int error = 0;

	if (!pusher)
		return 0;
	pthread_mutex_lock(&pusher->use);
	drop_others(pusher, list, count);
	for (size_t i = 0; i < count; i++) {
		struct destination *destination = list[i]->url ? find(pusher, list[i]) : NULL;
		int r = 0;

		if (destination)
			r = destination_tell(destination, list[i]);
		else if (list[i]->url)
			r = begin(pusher, list[i], err);
		error = error ?: r;
	}
	pthread_mutex_unlock(&pusher->use);
	return error;
}

/* ---- work ---------------------------------------------------------------------------------- */

static int add(struct pusher *pusher, const struct push_settings *settings,
	       const struct dhat_snapshot *snapshot, uint64_t since_unix_ns)
{
	struct destination *destination;
	int r = -ENOENT;

	pthread_mutex_lock(&pusher->use);
	destination = find(pusher, settings);
	if (destination)
		r = destination_add(destination, snapshot, since_unix_ns);
	pthread_mutex_unlock(&pusher->use);
	return r;
}

int pusher_add(struct pusher *pusher, const struct push_settings *settings,
	       struct dhat_snapshot *snapshot, struct since **since)
{
	_cleanup_(since_free_ptr) struct since *next = NULL;
	Dhat__Target *target = snapshot->head->target;
	uint64_t begin_ns = target->observed_since_unix_ns;
	int r = 0;

	if (request_is_since_last(settings->form))
		r = since_subtract(*since, snapshot, &next, &begin_ns);
	else if (settings->form == PUSH_PARCA)
		target->observed_ns = 0; /* else it would add up what is live */
	if (r == 0)
		r = add(pusher, settings, snapshot, begin_ns);
	if (r || !next)
		return r;
	since_free(*since);
	*since = take_ptr(next);
	return 0;
}

void pusher_retry(struct pusher *pusher)
{
	if (!pusher)
		return;
	pthread_mutex_lock(&pusher->lock);
	for (size_t i = 0; i < pusher->count; i++)
		destination_retry(pusher->list[i]);
	pthread_mutex_unlock(&pusher->lock);
}

/* ---- what others ask ----------------------------------------------------------------------- */

void pusher_tell_left(struct pusher *pusher)
{
	struct left *list;
	size_t count;

	if (!pusher || left_look(pusher->folder, &list, &count))
		return;
	for (size_t i = 0; i < count; i++)
		dhat_say_at(DHAT_LEVEL_WARNING, "dhatd",
			    "%" PRIu64
			    " profile%s for %s wait%s in %s, and nothing sends them: they "
			    "go when that is a destination again (the same URL, form and tenant); "
			    "remove the folder if nobody wants them",
			    list[i].files, list[i].files == 1 ? "" : "s",
			    *list[i].url ? list[i].url : "somewhere", list[i].files == 1 ? "s" : "",
			    list[i].folder);
	left_free(list, count);
}

/* With `lock`. */
static int look_at(const struct pusher *pusher, struct destination *destination,
		   struct pusher_state *ret)
{
	const struct push_settings *settings = destination_settings(destination);
	char folder[PATH_MAX];

	folder_of(pusher, settings, folder);
	ret->url = strdup(settings->url);
	ret->tenant = settings->tenant ? strdup(settings->tenant) : NULL;
	ret->folder = strdup(folder);
	ret->form = push_form_name(settings->form);
	destination_look(destination, &ret->state);
	return ret->url && ret->folder && !settings->tenant == !ret->tenant ? 0 : -ENOMEM;
}

static int look_at_left(const struct pusher *pusher, struct pusher_state *list, size_t *count)
{
	struct left *left;
	size_t left_count;
	int r = left_look(pusher->folder, &left, &left_count);

	if (r)
		return r;
	for (size_t i = 0; i < left_count && r == 0; i++) {
		struct pusher_state *state = &list[(*count)++];

		state->url = strdup(left[i].url);
		state->folder = take_ptr(left[i].folder);
		state->state.waiting = left[i].files;
		state->state.waiting_bytes = left[i].bytes;
		r = state->url ? 0 : -ENOMEM;
	}
	left_free(left, left_count);
	return r;
}

int pusher_look(struct pusher *pusher, struct pusher_state **ret, size_t *ret_count)
{
	struct pusher_state *list;
	size_t count = 0;
	int r = 0;

	*ret = NULL;
	*ret_count = 0;
	if (!pusher)
		return 0;
	list = calloc(PUSH_DESTINATIONS + LEFT_MAX, sizeof(*list));
	if (!list)
		return -ENOMEM;
	pthread_mutex_lock(&pusher->lock);
	for (; count < pusher->count && r == 0; count++)
		r = look_at(pusher, pusher->list[count], &list[count]);
	pthread_mutex_unlock(&pusher->lock);
	if (r == 0)
		r = look_at_left(pusher, list, &count);
	if (r || !count) {
		pusher_states_free(list, count);
		return r;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

void pusher_states_free(struct pusher_state *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].url);
		free(list[i].tenant);
		free(list[i].folder);
	}
	free(list);
}
