#pragma once
/* pattern: which names are meant. Pure.
 *
 * As LeakSanitizer's suppressions have them: a part of the name, in which `*` stands for anything,
 * `^` at the beginning for the name's beginning and `$` at the end for its end. So `std::map` and
 * `operator*` need no escapes, as they would in a regular expression.
 */
#include <stdbool.h>

bool dhat_pattern_matches(const char *pattern, const char *name);
