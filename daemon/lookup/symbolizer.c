#include "symbolizer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "debugfiles.h"
#include "proto/base/cleanup.h"
#include "proto/base/index.h"
#include "proto/base/qualifiers.h"

struct object_key {
	dev_t device, root_device;
	ino_t inode, root_inode;
	off_t size;
	struct timespec mtime;
};

struct cached_object {
	struct object_key key;
	struct cached_object *next;
	uint32_t users;	   /* results that point into it; guarded by the symbolizer's lock */
	uint64_t last_use; /* as is this */
	pthread_mutex_t
		lock; /* of what follows; batches are never changed nor freed before the whole */
	struct index *by_place; /* space: enum place_space; key: file offset; value, point: frame */
	struct names **batches;
	uint32_t batch_count;
	uint64_t bytes; /* guarded by the symbolizer's lock */
};

enum { /* bits of a space in by_place */
       SPACE_EXACT = 1,
       SPACE_PLACES_ONLY = 2,
};

struct symbolizer {
	struct worker *worker;
	struct debuginfod debuginfod;
	uint64_t max_bytes;
	pthread_mutex_t lock;
	struct cached_object *objects;
	uint64_t bytes, uses;
};

/* ---- cached objects ---- */

static void object_free(struct cached_object *object)
{
	if (!object)
		return;
	for (uint32_t i = 0; i < object->batch_count; i++)
		names_free(object->batches[i]);
	free(object->batches);
	index_free(object->by_place);
	pthread_mutex_destroy(&object->lock);
	free(object);
}

static struct cached_object *object_new(const struct object_key *key)
{
	struct cached_object *object = calloc(1, sizeof(*object));

	if (!object)
		return NULL;
	pthread_mutex_init(&object->lock, NULL);
	object->key = *key;
	if (!index_new(&object->by_place))
		return object;
	object_free(object);
	return NULL;
}

static bool is_same_key(const struct object_key *a, const struct object_key *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
	       a->root_device == b->root_device && a->root_inode == b->root_inode;
}

/* The cached object of a key, made if there is none, with one user more. */
static struct cached_object *acquire(struct symbolizer *symbolizer, const struct object_key *key)
{
	struct cached_object *object;

	pthread_mutex_lock(&symbolizer->lock);
	for (object = symbolizer->objects; object; object = object->next)
		if (is_same_key(&object->key, key))
			break;
	if (!object) {
		object = object_new(key);
		if (object) {
			object->next = symbolizer->objects;
			symbolizer->objects = object;
		}
	}
	if (object) {
		object->users++;
		object->last_use = ++symbolizer->uses;
	}
	pthread_mutex_unlock(&symbolizer->lock);
	return object;
}

/* Forget what nobody points into, the longest unused first, until the bound is kept. */
static void keep_bound(struct symbolizer *symbolizer)
{
	while (symbolizer->bytes > symbolizer->max_bytes) {
		struct cached_object **oldest = NULL, *object;

		for (struct cached_object **at = &symbolizer->objects; *at; at = &(*at)->next)
			if (!(*at)->users && (!oldest || (*at)->last_use < (*oldest)->last_use))
				oldest = at;
		if (!oldest)
			return;
		object = *oldest;
		*oldest = object->next;
		symbolizer->bytes -= object->bytes;
		object_free(object);
	}
}

static void release(struct symbolizer *symbolizer, struct cached_object *object)
{
	pthread_mutex_lock(&symbolizer->lock);
	object->users--;
	keep_bound(symbolizer);
	pthread_mutex_unlock(&symbolizer->lock);
}

static uint64_t bytes_of(const struct names *names)
{
	uint64_t bytes = sizeof(*names) + names->frame_count * sizeof(*names->frames) +
			 names->location_count * sizeof(*names->locations);

	for (uint32_t i = 0; i < names->texts.count; i++)
		bytes += strlen(names->texts.list[i]) + 1 + sizeof(char *) + 16; /* malloc's own */
	return bytes;
}

/* ---- naming ---- */

static uint8_t space_of(const struct name_query *query, bool places_only)
{
	return (query->is_exact_pc ? SPACE_EXACT : 0) | (places_only ? SPACE_PLACES_ONLY : 0);
}

static int remember(struct symbolizer *symbolizer, struct cached_object *object,
		    struct names *names, const struct name_query *queries, bool places_only)
{
	uint64_t before = index_memory_bytes(object->by_place), bytes;
	struct names **grown =
		reallocarray(object->batches, object->batch_count + 1ul, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	object->batches = grown;
	object->batches[object->batch_count++] = names;
	for (uint32_t i = 0; i < names->frame_count; i++) {
		struct index_entry *entry;

		if (index_claim(object->by_place, space_of(&queries[i], places_only),
				queries[i].file_offset, &entry) < 0)
			break; /* asked for again some time */
		entry->value = (uintptr_t)names;
		entry->point = i;
	}
	bytes = bytes_of(names) + index_memory_bytes(object->by_place) - before;
	pthread_mutex_lock(&symbolizer->lock);
	object->bytes += bytes;
	symbolizer->bytes += bytes;
	pthread_mutex_unlock(&symbolizer->lock);
	return 0;
}

/* Fills the frames that are known; *missing: the others, in order. Returns how many those are. */
static uint32_t look_up(struct cached_object *object, const struct name_query *queries,
			uint32_t count, bool places_only, struct symbolized_frame *frames,
			struct name_query *missing)
{
	uint32_t missing_count = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct index_entry *entry =
			index_find(object->by_place, space_of(&queries[i], places_only),
				   queries[i].file_offset);

		if (!entry) {
			missing[missing_count++] = queries[i];
			continue;
		}
		frames[i].names = (const struct names *)(uintptr_t)entry->value;
		frames[i].frame = entry->point;
	}
	return missing_count;
}

/* Asks the worker for what is not known yet. The object's lock is held. */
static int name_missing(struct symbolizer *symbolizer, struct cached_object *cached,
			const struct symbolizer_object *object, const struct name_query *missing,
			uint32_t count, bool places_only, struct dhat_error *err)
{
	struct debugfiles files = {
		.root_fd = object->root_fd,
		.uid = object->uid,
		.object_path = object->path ? object->path : "",
		.debuginfod = symbolizer->debuginfod.urls ? &symbolizer->debuginfod : NULL,
	};
	const struct wish_granter granter = { .grant = debugfiles_grant, .context = &files };
	struct names *names;
	int r = worker_name(symbolizer->worker, object->fd, missing, count, places_only, &granter,
			    &names, err);

	if (r)
		return r;
	r = remember(symbolizer, cached, names, missing, places_only);
	if (r) {
		names_free(names);
		return dhat_error_errno(err, -r, "cannot keep names");
	}
	return 0;
}

static bool key_of(const struct symbolizer_object *object, struct object_key *ret)
{
	struct stat st;

	*ret = (struct object_key){ 0 };
	if (object->fd < 0 || fstat(object->fd, &st))
		return false;
	ret->device = st.st_dev;
	ret->inode = st.st_ino;
	ret->size = st.st_size;
	ret->mtime = st.st_mtim;
	if (object->root_fd >= 0 && !fstat(object->root_fd, &st)) {
		ret->root_device = st.st_dev;
		ret->root_inode = st.st_ino;
	}
	return true;
}

int symbolizer_name(struct symbolizer *symbolizer, const struct symbolizer_object *object,
		    const struct name_query *queries, uint32_t count, bool places_only,
		    struct symbolized *ret)
{
	_cleanup_free_ struct symbolized_frame *frames = calloc(count + 1ul, sizeof(*frames));
	_cleanup_free_ struct name_query *missing = calloc(count + 1ul, sizeof(*missing));
	struct cached_object *cached = NULL;
	struct dhat_error err = { 0 };
	struct object_key key;
	uint32_t missing_count;

	if (!frames || !missing)
		return -ENOMEM;
	*ret = (struct symbolized){ 0 };
	if (!key_of(object, &key)) {
		snprintf(ret->reason, sizeof(ret->reason), "its file could not be opened");
		ret->frames = take_ptr(frames);
		return 0;
	}
	cached = acquire(symbolizer, &key);
	if (!cached)
		return -ENOMEM;
	pthread_mutex_lock(&cached->lock);
	missing_count = look_up(cached, queries, count, places_only, frames, missing);
	if (missing_count) {
		if (name_missing(symbolizer, cached, object, missing, missing_count, places_only,
				 &err))
			snprintf(ret->reason, sizeof(ret->reason), "%.250s", err.message);
		else
			look_up(cached, queries, count, places_only, frames, missing);
	}
	pthread_mutex_unlock(&cached->lock);
	ret->frames = take_ptr(frames);
	ret->cached = cached;
	return 0;
}

void symbolized_deinit(struct symbolizer *symbolizer, struct symbolized *symbolized)
{
	if (symbolized->cached)
		release(symbolizer, symbolized->cached);
	free(symbolized->frames);
	*symbolized = (struct symbolized){ 0 };
}

int symbolizer_name_data(struct symbolizer *symbolizer, const struct symbolizer_object *object,
			 const struct name_query *queries, uint32_t count, bool with_members,
			 struct names **ret)
{
	struct debugfiles files = {
		.root_fd = object->root_fd,
		.uid = object->uid,
		.object_path = object->path ? object->path : "",
	};
	const struct wish_granter granter = { .grant = debugfiles_grant, .context = &files };

	return worker_name_data(symbolizer->worker, object->fd, queries, count, with_members,
				&granter, ret, NULL);
}

int symbolizer_name_pointees(struct symbolizer *symbolizer, const struct symbolizer_object *object,
			     const struct pointee_query *queries, uint32_t count,
			     struct names **ret)
{
	struct debugfiles files = {
		.root_fd = object->root_fd,
		.uid = object->uid,
		.object_path = object->path ? object->path : "",
	};
	const struct wish_granter granter = { .grant = debugfiles_grant, .context = &files };

	return worker_name_pointees(symbolizer->worker, object->fd, queries, count, &granter, ret,
				    NULL);
}

int symbolizer_name_generated(struct symbolizer *symbolizer, int fd,
			      const struct jit_query *queries, uint32_t count, struct names **ret,
			      struct dhat_error *err)
{
	return worker_name_jit(symbolizer->worker, fd, queries, count, ret, err);
}

/* ---- the whole ---- */

static int copy_string(const char *string, const char **ret)
{
	*ret = NULL;
	if (!string || !*string)
		return 0;
	*ret = strdup(string);
	return *ret ? 0 : -ENOMEM;
}

DEFINE_CLEANUP_PTR(struct symbolizer *, symbolizer_free)

int symbolizer_new(struct worker *worker, const struct symbolizer_options *options,
		   struct symbolizer **ret, struct dhat_error *err)
{
	_cleanup_(symbolizer_free_ptr) struct symbolizer *symbolizer =
		calloc(1, sizeof(*symbolizer));

	if (!symbolizer)
		return dhat_error_errno(err, ENOMEM, "cannot set up names");
	pthread_mutex_init(&symbolizer->lock, NULL);
	symbolizer->worker = worker;
	symbolizer->max_bytes =
		options && options->memory_bytes ? options->memory_bytes : SYMBOLIZER_MEMORY_BYTES;
	if (options) {
		symbolizer->debuginfod.max_seconds = options->debuginfod.max_seconds;
		if (copy_string(options->debuginfod.urls, &symbolizer->debuginfod.urls) ||
		    copy_string(options->debuginfod.cache, &symbolizer->debuginfod.cache))
			return dhat_error_errno(err, ENOMEM, "cannot set up names");
	}
	*ret = take_ptr(symbolizer);
	return 0;
}

void symbolizer_free(struct symbolizer *symbolizer)
{
	if (!symbolizer)
		return;
	while (symbolizer->objects) {
		struct cached_object *object = symbolizer->objects;

		symbolizer->objects = object->next;
		object_free(object);
	}
	free(without_qualifiers(symbolizer->debuginfod.urls));
	free(without_qualifiers(symbolizer->debuginfod.cache));
	pthread_mutex_destroy(&symbolizer->lock);
	free(symbolizer);
}
