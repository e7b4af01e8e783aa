#pragma once
/* frame_text: a frame of a stack in one line. Pure. */
#include "proto/wire/dhat.pb-c.h"

/* For DHAT JSON. A location's line; location NULL: the frame could not be named. The caller frees.
 *   0xADDR: function (dir/file.c:12:5)
 *   0xADDR: function (in /path/object)
 *   0xADDR: ??? (in /path/object+0x12a4)
 * The column is written even when it is not known (0): other readers of such files expect it.
 * Firefox Profiler cuts a line at its last " (": in a path DHAT_PLACE_BLANK stands for that blank,
 * "/usr/lib/x (deleted)". */
#define DHAT_PLACE_BLANK "\u00a0" /* looks like a blank, and does not break */
char *dhat_frame_text(const Dhat__Frame *frame, const Dhat__Location *location);

/* What a frame is called where there is room for a name only: the function, else
 * "libc.so.6+0x12a4", else "0x7f…" of what is in no file. Cleaned (proto/base/text.h). The caller
 * frees; NULL: out of memory. */
char *dhat_frame_name(const Dhat__Frame *frame, const Dhat__Location *location);

/* Why the stack of a point ends before its outermost frame; NULL: it does not. */
const char *dhat_stop_reason(const Dhat__ProgramPoint *point);
