#pragma once
/* program: what a process is called where there is room for a word.
 *
 * Arguments may be long, and may hold passwords: they are told whole only where they are asked for.
 * Pure.
 */
#include <stddef.h>

#define DHAT_PROGRAM_CHARS 64

/* The name of the program of a command line (arguments separated by blanks), without its folder:
 * "/usr/sbin/nginx -g x" → "nginx", "nginx: worker process" → "nginx". executable: the path of its
 * file, which tells where a name with blanks ends, and is taken where the command line is empty.
 * Cut to DHAT_PROGRAM_CHARS; "?" if nothing is known. Returns ret. */
const char *dhat_program_name(const char *command, const char *executable,
			      char ret[DHAT_PROGRAM_CHARS]);
