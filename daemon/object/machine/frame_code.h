#pragma once
/* frame_code: does code keep frame pointers?
 *
 * Pure. Compilers decide it for a file or for a library that was linked in, not for a function: so
 * blocks of code are looked at, and their bytes, not their instructions, as that is quick
 * (Chromium's 217 MiB take 0.4 s, on the machine that made the other figures).
 */
#include <stddef.h>
#include <stdint.h>

/* Some 300 functions. Code is judged in such blocks. */
#define FRAME_CODE_BLOCK_BYTES 65536

enum frame_code {
	FRAME_CODE_UNKNOWN, /* hardly a function begins or ends here: as the code before */
	FRAME_CODE_KEPT,
	FRAME_CODE_NOT_KEPT,
};

/* Of size bytes of code, a block or what is left of one. */
enum frame_code frame_code_judge(const uint8_t *bytes, size_t size);
