#include "interned.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"

/* What tells most texts apart, so that few are looked at. */
struct interned_key {
	uint32_t hash, size;
};

static uint32_t hash_bytes(const uint8_t *bytes, size_t size) /* FNV-1a */
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash;
}

static bool is_at(const struct interned *interned, uint32_t number, struct interned_key key,
		  const void *bytes)
{
	const struct interned_key *other = &interned->keys[number];

	return other->hash == key.hash && other->size == key.size &&
	       !memcmp(interned->list[number], bytes, key.size);
}

static uint32_t *find_bucket(const struct interned *interned, struct interned_key key,
			     const void *bytes)
{
	uint32_t i = key.hash & (interned->bucket_count - 1);

	while (interned->buckets[i] && !is_at(interned, interned->buckets[i] - 1, key, bytes))
		i = (i + 1) & (interned->bucket_count - 1);
	return &interned->buckets[i];
}

static int grow_buckets(struct interned *interned)
{
	uint32_t *old = interned->buckets, *grown;
	uint32_t wanted = interned->bucket_count ? interned->bucket_count * 2 : 1024;

	if (interned->count * 2 < interned->bucket_count)
		return 0;
	grown = calloc(wanted, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	interned->buckets = grown;
	interned->bucket_count = wanted;
	for (uint32_t i = 0; i < interned->count; i++)
		*find_bucket(interned, interned->keys[i], interned->list[i]) = i + 1;
	free(old);
	return 0;
}

static char *copy_bytes(const void *bytes, size_t size)
{
	char *copy = malloc(size + 1);

	if (!copy)
		return NULL;
	if (size) /* bytes may be NULL */
		memcpy(copy, bytes, size);
	copy[size] = '\0';
	return copy;
}

int interned_add_bytes(struct interned *interned, const void *bytes, size_t size, uint32_t *ret)
{
	const struct interned_key key = { hash_bytes(bytes, size), size };
	uint32_t *bucket;

	if (grow_buckets(interned) ||
	    array_make_room(&interned->list, &interned->capacity, interned->count) ||
	    array_make_room(&interned->keys, &interned->key_capacity, interned->count))
		return -ENOMEM;
	bucket = find_bucket(interned, key, bytes);
	if (!*bucket) {
		interned->list[interned->count] = copy_bytes(bytes, size);
		if (!interned->list[interned->count])
			return -ENOMEM;
		interned->keys[interned->count] = key;
		*bucket = ++interned->count;
	}
	*ret = *bucket - 1;
	return 0;
}

int interned_add(struct interned *interned, const char *text, uint32_t *ret)
{
	return interned_add_bytes(interned, text, strlen(text), ret);
}

void interned_deinit(struct interned *interned)
{
	for (uint32_t i = 0; i < interned->count; i++)
		free(interned->list[i]);
	free(interned->list);
	free(interned->keys);
	free(interned->buckets);
	*interned = (struct interned){ 0 };
}
