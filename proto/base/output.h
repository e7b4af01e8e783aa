#pragma once
/* output: a result file that is there whole or not at all.
 *
 * It is written under another name in the same directory, readable by its owner only, brought to
 * the disk, and then renamed: until then what was there before stays. Under sudo it belongs to the
 * one behind it (asker.h). A file that was there is replaced with its owner and mode, and so is a
 * symbolic link: what that led to stays as it is. A path that is no regular file (a terminal, a
 * pipe, /dev/null) is written to as it is; "-" is the standard output.
 */
#include <stdbool.h>
#include <stdio.h>

#include "error.h"

struct dhat_output;

/* Fails early where possible: no such directory, no rights, a directory. */
int dhat_output_new(const char *path, struct dhat_output **ret, struct dhat_error *err);
/* Without a commit before: nothing has happened to the path. */
void dhat_output_free(struct dhat_output *output);

/* A name of a regular file, or of one to be; not a terminal, a pipe, /dev/null, "-". */
bool dhat_output_is_file(const char *path);

/* Could such a file be made now? Tried with a page, of which nothing stays. What is no file is not
 * tried. */
int dhat_output_try(const char *path, struct dhat_error *err);

FILE *dhat_output_stream(struct dhat_output *output);
/* Flush, check, rename. Each failed write until now shows here at the latest (disk full). */
int dhat_output_commit(struct dhat_output *output, struct dhat_error *err);

/* At the end of a program that has printed: has all of it arrived? Half an answer must not pass for
 * a whole one. DHAT_EXIT_OUTPUT if not. */
int dhat_output_check_stdout(struct dhat_error *err);
