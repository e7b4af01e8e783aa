#pragma once
/* references: what code refers to, told by a few bytes and without decoding all of it.
 *
 * Pure, and quick: for whole programs. Bytes in the middle of an instruction may look like another
 * one, so the caller believes only what hits something that it knows.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reference_kind {
	REFERENCE_CALL = 1, /* of its target */
	REFERENCE_JUMP = 2,
	REFERENCE_CALL_SLOT = 4, /* of what the word at its target points to */
	REFERENCE_ADDRESS = 8,	 /* taken */
};

struct reference {
	enum reference_kind kind;
	uint64_t vaddr, target;
};

/* The next one of these kinds (a mask) from *at on, an offset in code, which goes behind the place
 * where it begins. */
bool references_next(const uint8_t *code, size_t size, uint64_t vaddr, unsigned kinds, size_t *at,
		     struct reference *ret);

/* Does the code return at once, and nothing else? */
bool references_none(const uint8_t *code);
