#pragma once
/* units: sizes, counts and durations as people read and write them. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DHAT_UNIT_CHARS 32 /* enough for each of the texts below */

/* "4096", "64K", "16M", "16MiB", "2g": powers of 1024. -EINVAL: no such size; -ERANGE: beyond 64
 * bits. */
int dhat_parse_size(const char *text, uint64_t *ret);
/* "90s", "5m", "2h", "1d", and "90" for seconds, to ns. -EINVAL: no such time, or 0; -ERANGE:
 * beyond 64 bits. */
int dhat_parse_duration(const char *text, uint64_t *ret_ns);
int dhat_parse_pid(const char *text, uint32_t *ret);

/* "0 B", "999 B", "1.5 KiB", "12.0 MiB": three digits or so. */
const char *dhat_format_size(uint64_t bytes, char text[DHAT_UNIT_CHARS]);
/* "1,234,567" */
const char *dhat_format_count(uint64_t count, char text[DHAT_UNIT_CHARS]);
/* "850 us", "12.3 ms", "4.2 s", "3 min 20 s", "2 h 5 min", "3 d 4 h" */
const char *dhat_format_duration(uint64_t ns, char text[DHAT_UNIT_CHARS]);
