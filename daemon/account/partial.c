#include "partial.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

static struct partial *find(const struct partials *partials, const char *key)
{
	for (size_t i = 0; i < partials->count; i++)
		if (!strcmp(partials->list[i].key, key))
			return &partials->list[i];
	return NULL;
}

static struct partial *add(struct partials *partials, const char *key)
{
	struct partial *grown =
		reallocarray(partials->list, partials->count + 1, sizeof(*partials->list));
	char *copy = strdup(key);

	if (grown)
		partials->list = grown;
	if (!grown || !copy) {
		free(copy);
		return NULL;
	}
	grown[partials->count] = (struct partial){ .key = copy };
	return &grown[partials->count++];
}

int partials_say(struct partials *partials, const char *key, uint64_t bytes, const char *format,
		 ...)
{
	struct partial *partial = find(partials, key);
	_cleanup_free_ char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0) {
		text = NULL;
		return -ENOMEM;
	}
	if (!partial)
		partial = add(partials, key);
	if (!partial)
		return -ENOMEM;
	free(partial->text);
	partial->text = take_ptr(text);
	partial->bytes = bytes;
	return 0;
}

void partials_withdraw(struct partials *partials, const char *key)
{
	struct partial *partial = find(partials, key);

	if (!partial)
		return;
	free(partial->key);
	free(partial->text);
	memmove(partial, partial + 1,
		(char *)&partials->list[partials->count] - (char *)(partial + 1));
	partials->count--;
}

void partials_deinit(struct partials *partials)
{
	for (size_t i = 0; i < partials->count; i++) {
		free(partials->list[i].key);
		free(partials->list[i].text);
	}
	free(partials->list);
	*partials = (struct partials){ 0 };
}
