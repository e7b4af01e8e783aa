#pragma once
/* progress: on a terminal, a line on stderr of what is being done, when it takes longer than a
 * second, or a quarter of one where what was done before has taken that; it goes when that is over,
 * before anything else is said.
 *
 * Where stderr is no terminal, and for what is done sooner, there is none. One at a time: what
 * begins within another is a part of that.
 */

/* "reading a.dhat: 2 s", from the second second on. file may be NULL; of a path the name is shown.
 * Ended by progress_end(); a thread looks at the clock meanwhile. */
void progress_begin(const char *doing, const char *file);
/* In its place, at once: what dhatd says that it is doing. Needs no beginning, but an end. */
void progress_say(const char *text);
void progress_end(void);
