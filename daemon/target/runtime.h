#pragma once
/* runtime: runtimes that keep their blocks in mappings of their own, unless they were told
 * otherwise.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Of bits of makers (daemon/object/sites/hidden.h) those of which nothing is counted. A runtime's
 * blocks are counted if the process was told to take them from malloc, its mappings if all are
 * recorded. In doubt they are not. */
uint32_t runtime_uncounted(pid_t pid, uint32_t makers, bool has_mappings);
