#pragma once
/* say: a line on stderr, for a person at a terminal or for a log.
 *
 * The one way there. Names, paths and command lines in it may be a target's choice, as may what an
 * error quotes: the line is cleaned (text.h), so that no target can give the terminal orders, or
 * forge lines of ours.
 */

/* "PROGRAM: " is put before the text; a new line behind it, and nowhere else. Written whole. */
void dhat_say(const char *program, const char *format, ...) __attribute__((format(printf, 2, 3)));
