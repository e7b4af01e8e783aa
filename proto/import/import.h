#pragma once
/* import: a profile from a file, whichever of those that can be read back it is: dhatctl's own
 * .dhat, its JSON lines, what its `stats --json' prints, or DHAT JSON of dhatctl's, Valgrind's or
 * dhat-rs's. Told by what is in
 * it, not by its name.
 *
 * Of the latter comes what they hold: commands, stacks as names and lines, and each stack's
 * figures. What they lack is said in the snapshot's `lacks`, and is not made up: a profile of
 * others has the verdict "not known". What has no blocks in it (DHAT's modes "ad-hoc" and "copy"),
 * and what has negative figures (a difference), is refused with the reason.
 */
#include <stdbool.h>
#include <stdio.h>

#include "proto/profile/snapshot.h"

/* Does it begin as one of these? It is read from its beginning then. Of what cannot be wound back
 * (a pipe) only a .dhat is known. */
bool dhat_import_knows(FILE *file);
/* path: for messages. The caller frees. */
int dhat_import(FILE *file, const char *path, struct dhat_snapshot **ret, struct dhat_error *err);
