#pragma once
/* beside: the dhatd that goes with this dhatctl. */
#include <limits.h>
#include <stddef.h>

#define BESIDE_CHARS (PATH_MAX + 16)

/* The one beside it, or where `make install' puts it, or wherever the shell has it. */
void beside_find_dhatd(char ret[BESIDE_CHARS]);
