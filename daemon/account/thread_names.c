#include "thread_names.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* A run of digits becomes one '*'. */
static void make_pattern(const char *name, char ret[DHAT_THREAD_CHARS])
{
	size_t used = 0;

	for (; *name; name++) {
		bool is_digit = isdigit((unsigned char)*name);

		if (!is_digit)
			ret[used++] = *name;
		else if (!used || ret[used - 1] != '*')
			ret[used++] = '*';
	}
	ret[used] = '\0';
}

static uint8_t find(const struct thread_names *names, const char *name)
{
	for (uint8_t i = 0; i < names->count; i++)
		if (!strcmp(names->names[i], name))
			return i + 1;
	return 0;
}

static size_t count_alike(const struct thread_names *names, const char *pattern)
{
	char other[DHAT_THREAD_CHARS];
	size_t count = 0;

	for (uint8_t i = 0; i < names->count; i++) {
		make_pattern(names->names[i], other);
		count += !strcmp(other, pattern);
	}
	return count;
}

uint8_t thread_names_add(struct thread_names *names, const char name[DHAT_THREAD_CHARS])
{
	char text[DHAT_THREAD_CHARS] = "", pattern[DHAT_THREAD_CHARS];
	uint8_t number;

	memcpy(text, name, DHAT_THREAD_CHARS - 1);
	number = find(names, text);
	if (number || !*text)
		return number;
	make_pattern(text, pattern);
	if (strcmp(text, pattern) != 0 && count_alike(names, pattern) >= THREAD_NAMES_ALIKE) {
		strcpy(text, pattern);
		number = find(names, text);
	}
	if (number || names->count == THREAD_NAMES_MOST)
		return number;
	strcpy(names->names[names->count], text);
	return ++names->count;
}
