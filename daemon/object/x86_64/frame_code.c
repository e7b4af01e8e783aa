#include "daemon/object/machine/frame_code.h"

#include <stdbool.h>
#include <string.h>

/* push %rbp; mov %rsp,%rbp, in both encodings of the second. */
static bool begins_frame(const uint8_t *at)
{
	return at[0] == 0x55 && at[1] == 0x48 &&
	       ((at[2] == 0x89 && at[3] == 0xe5) || (at[2] == 0x8b && at[3] == 0xec));
}

/* A ret behind what an epilogue ends with, which is pop %rbp or leave where there was a frame: here
 * pop of another register, or add $n,%rsp. Other bytes c3 may be part of anything. */
static bool ends_without_frame(const uint8_t *ret)
{
	return ret[0] == 0xc3 && ((ret[-1] >= 0x58 && ret[-1] <= 0x5f && ret[-1] != 0x5d) ||
				  (ret[-4] == 0x48 && ret[-3] == 0x83 && ret[-2] == 0xc4));
}

/* Where frames are kept, functions that end without one are few, of assembler; where they are not,
 * those that have one are, with a stack that has to be realigned or grows at run time. */
enum frame_code frame_code_judge(const uint8_t *bytes, size_t size)
{
	size_t i, with = 0, without = 0;

	for (i = 0; i + 4 <= size; i++)
		with += begins_frame(bytes + i);
	for (i = 4; i < size; i++)
		without += ends_without_frame(bytes + i);
	if (!with && !without)
		return FRAME_CODE_UNKNOWN;
	return with > without ? FRAME_CODE_KEPT : FRAME_CODE_NOT_KEPT;
}
