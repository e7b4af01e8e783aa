#pragma once
/* secret: a token in a file, which no option and no log ever shows. */
#include <stddef.h>

#include "error.h"

/* One word of printable ASCII, `least` to `most` characters, blanks and line ends behind it left
 * out; into ret, which has room for most + 2. Refused with what to do, and DHAT_EXIT_USAGE, is a
 * file that every user may read. */
int secret_read(const char *path, size_t least, size_t most, char *ret, struct dhat_error *err);
