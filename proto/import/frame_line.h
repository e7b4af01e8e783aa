#pragma once
/* frame_line: a line of DHAT JSON's frame table, as Valgrind, dhat-rs and dhatctl write it, taken
 * apart. Pure; the way back from proto/profile/frame_text.h.
 *
 *   0xADDR: function (file.c:12)        Valgrind
 *   0xADDR: function (dir/file.c:12:5)  dhatctl, dhat-rs
 *   0xADDR: function (in /path/object)
 *   0xADDR: ??? (in /path/object+0x12a4) dhatctl
 *   0xADDR: ???
 *
 * Functions and paths may hold " (" themselves: the place is what stands in the parentheses that
 * end the line, and their beginning is where they are balanced, "/usr/lib/x (deleted)". What has
 * another form is a function of that name, without an address: nothing is refused.
 */
#include "proto/wire/dhat.pb-c.h"

/* frame: initialised, and freed by the caller, whether it succeeds or not. -ENOMEM. */
int dhat_frame_line_read(const char *line, Dhat__Frame *frame);

/* The same for a line of JSON lines (proto/export/jsonl.c), which has no address: "function
 * (dir/file.c:12)", "function (/path/object)", "function", or "object+0x12a4" of one without a
 * name. */
int dhat_frame_text_read(const char *text, Dhat__Frame *frame);
