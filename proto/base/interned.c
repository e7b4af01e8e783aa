#include "interned.h"

#include <stdlib.h>
#include <string.h>

#include "array.h"

static uint32_t hash_text(const char *text) /* FNV-1a */
{
	uint32_t hash = 2166136261u;

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 16777619u;
	return hash;
}

static uint32_t *find_bucket(const struct interned *interned, const char *text)
{
	uint32_t i = hash_text(text) & (interned->bucket_count - 1);

	while (interned->buckets[i] && strcmp(interned->list[interned->buckets[i] - 1], text))
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
		*find_bucket(interned, interned->list[i]) = i + 1;
	free(old);
	return 0;
}

int interned_add(struct interned *interned, const char *text, uint32_t *ret)
{
	uint32_t *bucket;

	if (grow_buckets(interned) ||
	    array_make_room(&interned->list, &interned->capacity, interned->count))
		return -ENOMEM;
	bucket = find_bucket(interned, text);
	if (!*bucket) {
		interned->list[interned->count] = strdup(text);
		if (!interned->list[interned->count])
			return -ENOMEM;
		*bucket = ++interned->count;
	}
	*ret = *bucket - 1;
	return 0;
}

void interned_deinit(struct interned *interned)
{
	for (uint32_t i = 0; i < interned->count; i++)
		free(interned->list[i]);
	free(interned->list);
	free(interned->buckets);
	*interned = (struct interned){ 0 };
}
