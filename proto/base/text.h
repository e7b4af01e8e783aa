#pragma once
/* text: strings that come from a target, made fit to be shown.
 *
 * Command lines, paths and function names are the target owner's choice. They may hold terminal
 * control sequences or bytes that are no UTF-8; a terminal must not act on the first, a JSON reader
 * cannot read the second. Pure.
 */
#include <stddef.h>

/* A copy for the caller to free: control characters (C0, DEL, C1, those of writing direction and
 * invisible ones) become '?', each byte that is not part of valid UTF-8 becomes U+FFFD. NULL: out
 * of memory. */
char *dhat_text_clean(const char *text);

/* What stands behind the last slash of a path: to show it, and never to tell which file it is. */
const char *dhat_text_base_name(const char *path);

/* The number of bytes of the valid UTF-8 character that text begins with, 0 if there is none. */
size_t dhat_text_character(const char *text);
/* How many columns it takes on a terminal, a character being one; combining and wide ones are not
 * told apart. */
size_t dhat_text_width(const char *text);
