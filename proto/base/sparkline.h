#pragma once
/* sparkline: numbers as one line of bars. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At most `columns` bars, each as high as the greatest of its values is beside the greatest of all;
 * blocks of eighths, or, without UTF-8, the letters "_.-=+*%#". 0 is a bar of no more than a line.
 * The caller frees; NULL: out of memory. */
char *dhat_sparkline(const uint64_t *values, size_t count, size_t columns, bool is_utf8);
