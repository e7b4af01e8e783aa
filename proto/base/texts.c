#include "texts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t texts_count(char *const *list)
{
	size_t length = 0;

	while (list && list[length])
		length++;
	return length;
}

int texts_add(char ***list, const char *text)
{
	size_t length = texts_count(*list);
	char **longer = reallocarray(*list, length + 2, sizeof(*longer));
	char *copy = strdup(text);

	if (longer)
		*list = longer;
	if (!longer || !copy) {
		free(copy);
		return -ENOMEM;
	}
	longer[length] = copy;
	longer[length + 1] = NULL;
	return 0;
}

int texts_add_once(char ***list, const char *text)
{
	for (size_t i = 0; *list && (*list)[i]; i++)
		if (strcmp((*list)[i], text) == 0)
			return 0;
	return texts_add(list, text);
}

void texts_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

char **texts_copy(char *const *list)
{
	size_t length = texts_count(list);
	char **copy = calloc(length + 1, sizeof(*copy));

	for (size_t i = 0; copy && i < length; i++) {
		copy[i] = strdup(list[i]);
		if (!copy[i]) {
			texts_free(copy);
			return NULL;
		}
	}
	return copy;
}
