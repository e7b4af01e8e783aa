#include "similar.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MAX_LENGTH 32 /* of words that are compared; longer ones are like none */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Letters put in, left out, changed, or exchanged with their neighbour (optimal string alignment).
 */
static size_t distance(const char *a, const char *b)
{
	size_t rows[MAX_LENGTH + 1][MAX_LENGTH + 1];
	size_t m = strlen(a), n = strlen(b);

	if (m > MAX_LENGTH || n > MAX_LENGTH)
		return SIZE_MAX;
	for (size_t i = 0; i <= m; i++)
		rows[i][0] = i;
	for (size_t j = 0; j <= n; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= m; i++) {
		for (size_t j = 1; j <= n; j++) {
			size_t d = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			d = least(d, least(rows[i - 1][j], rows[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = least(d, rows[i - 2][j - 2] + 1);
			rows[i][j] = d;
		}
	}
	return rows[m][n];
}

void dhat_similar_consider(struct dhat_similar *similar, const char *name)
{
	size_t length = strlen(similar->word), d = distance(similar->word, name);
	bool is_beginning = length >= 2 && strncmp(name, similar->word, length) == 0;

	if (!is_beginning && d > (length + 2) / 3)
		return;
	/* of several that begin so the shortest */
	if (!similar->best || d < similar->distance) {
		similar->best = name;
		similar->distance = d;
	}
}
