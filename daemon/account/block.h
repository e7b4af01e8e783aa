#pragma once
/* block: one block of a heap (heap.h), outside of the table that has the live ones. */
#include <stdbool.h>
#include <stdint.h>

struct block {
	uint64_t addr, size_bytes;
	uint64_t birth_ns; /* CLOCK_MONOTONIC; realloc keeps it (H4) */
	uint32_t point;
	uint8_t domain;
	bool was_before; /* existed before the observation */
	bool is_single;	 /* stands for itself alone: all blocks were recorded when it was */
};
