#pragma once
/* input: a snapshot from a .dhat file. */
#include "proto/profile/snapshot.h"

/* path "-": the standard input. The caller frees. */
int input_read(const char *path, struct dhat_snapshot **ret, struct dhat_error *err);
