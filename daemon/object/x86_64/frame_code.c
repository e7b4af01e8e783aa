#include "frame_code.h"

#include <stdbool.h>
#include <string.h>

/* Where frames are kept, most functions begin with one and end in one or two rets; where they are
 * not, those of one in a hundred do, with a stack that has to be realigned or grows at run time
 * (measured: Chromium 156 and deno 2.9 have a frame for each ret, libvips 8.18 one for 30). */
#define MAX_RETS_A_FRAME 3

/* push %rbp; mov %rsp,%rbp, in both encodings of the second. */
static bool begins_frame(const uint8_t *at)
{
	return at[0] == 0x55 && at[1] == 0x48 &&
	       ((at[2] == 0x89 && at[3] == 0xe5) || (at[2] == 0x8b && at[3] == 0xec));
}

/* A ret behind what an epilogue ends with: pop, leave or add $n,%rsp. Other bytes c3 may be part of
 * anything. */
static bool ends_function(const uint8_t *ret)
{
	return ret[0] == 0xc3 && ((ret[-1] >= 0x58 && ret[-1] <= 0x5f) || ret[-1] == 0xc9 ||
				  (ret[-4] == 0x48 && ret[-3] == 0x83 && ret[-2] == 0xc4));
}

enum frame_code frame_code_judge(const uint8_t *bytes, size_t size)
{
	size_t i, frames = 0, rets = 0;

	for (i = 0; i + 4 <= size; i++)
		frames += begins_frame(bytes + i);
	for (i = 4; i < size; i++)
		rets += ends_function(bytes + i);
	if (!frames && !rets)
		return FRAME_CODE_UNKNOWN;
	return frames && rets <= frames * MAX_RETS_A_FRAME ? FRAME_CODE_KEPT : FRAME_CODE_NOT_KEPT;
}
