#pragma once
/* inventory_threads: inventories that take longer than an attach waits for them. */
#include "target.h"

struct inventory_threads;

int inventory_threads_new(struct inventory_threads **ret);
/* Waits for all: each sees when its target is ending. */
void inventory_threads_free(struct inventory_threads *threads);

/* Take one, and wait for it a second at most: millions of blocks take longer. */
void inventory_threads_start(struct inventory_threads *threads, struct target *target);
