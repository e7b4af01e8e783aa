#include "sparkline.h"

#include <stdlib.h>
#include <string.h>

#define HEIGHTS 8

static uint64_t greatest(const uint64_t *values, size_t count)
{
	uint64_t most = 0;

	for (size_t i = 0; i < count; i++)
		most = values[i] > most ? values[i] : most;
	return most;
}

/* Where the values of a column begin, of `count` values in so many columns. */
static size_t begin_of(size_t column, size_t count, size_t columns)
{
	return (size_t)((unsigned __int128)column * count / columns);
}

char *dhat_sparkline(const uint64_t *values, size_t count, size_t columns, bool is_utf8)
{
	static const char *const blocks[HEIGHTS] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const letters[HEIGHTS] = { "_", ".", "-", "=", "+", "*", "%", "#" };
	const char *const *bars = is_utf8 ? blocks : letters;
	uint64_t most = greatest(values, count);
	char *line, *at;

	if (columns > count)
		columns = count;
	line = at = malloc(columns * strlen(blocks[0]) + 1);
	if (!line)
		return NULL;
	for (size_t i = 0; i < columns; i++) {
		size_t begin = begin_of(i, count, columns);
		uint64_t value = greatest(values + begin, begin_of(i + 1, count, columns) - begin);
		size_t height = most ? (size_t)((double)value / most * (HEIGHTS - 1) + 0.5) : 0;

		at = stpcpy(at, bars[height]);
	}
	*at = 0;
	return line;
}
