#include "pattern.h"

#include <string.h>

bool dhat_pattern_matches(const char *pattern, const char *name)
{
	const char *end = pattern + strlen(pattern), *star = NULL, *mark = NULL;
	bool is_ended;

	if (*pattern == '^')
		pattern++;
	else /* as if a `*` stood there */
		star = pattern, mark = name;
	is_ended = end > pattern && end[-1] == '$';
	end -= is_ended;
	while (pattern < end || is_ended) {
		if (pattern < end && *pattern == '*') {
			star = ++pattern;
			mark = name;
		} else if (pattern < end && *name && *pattern == *name) {
			pattern++;
			name++;
		} else if (pattern == end && !*name) {
			return true;
		} else if (star && *mark) {
			pattern = star;
			name = ++mark;
		} else {
			return false;
		}
	}
	return true;
}
