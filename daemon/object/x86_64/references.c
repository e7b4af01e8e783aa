#include "daemon/object/machine/references.h"

#include <string.h>

/* What the bytes look like; the distance to the target are the last four of *ret_size. 0: nothing
 * of the kind. */
static unsigned kind_at(const uint8_t *code, size_t left, size_t *ret_size)
{
	if (code[0] == 0xe8 || code[0] == 0xe9) {
		*ret_size = 5;
		return code[0] == 0xe8 ? REFERENCE_CALL : REFERENCE_JUMP;
	}
	if (code[0] == 0xff && left >= 6 && code[1] == 0x15) {
		*ret_size = 6;
		return REFERENCE_CALL_SLOT;
	}
	/* lea target(%rip), %reg: 48 or 4c, 8d, and a ModRM of mod 0 and r/m 5 */
	if ((code[0] & 0xfb) == 0x48 && left >= 7 && code[1] == 0x8d && (code[2] & 0xc7) == 5) {
		*ret_size = 7;
		return REFERENCE_ADDRESS;
	}
	return 0;
}

bool references_next(const uint8_t *code, size_t size, uint64_t vaddr, unsigned kinds, size_t *at,
		     struct reference *ret)
{
	for (size_t i = *at; i + 5 <= size; i++) {
		size_t length;
		unsigned kind = kind_at(code + i, size - i, &length);
		int32_t distance;

		if (!(kind & kinds))
			continue;
		memcpy(&distance, code + i + length - sizeof(distance), sizeof(distance));
		*ret = (struct reference){ kind, vaddr + i, vaddr + i + length + distance };
		*at = i + 1;
		return true;
	}
	*at = size;
	return false;
}

bool references_none(const uint8_t *code)
{
	return code[0] == 0xc3; /* ret */
}
