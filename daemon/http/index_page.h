#pragma once
/* index_page: which targets there are, with a way to each one's report. Pure. */
#include <stdio.h>
#include <sys/types.h>

#include "proto/wire/dhat.pb-c.h"

/* Failures show at the stream. Whatever a name holds, it is text there. */
void index_page_begin(FILE *file);
void index_page_add(FILE *file, const Dhat__TargetStatus *status);
/* One of which nothing can be told just now, and why. */
void index_page_add_failure(FILE *file, const char *program, pid_t pid, const char *why);
void index_page_end(FILE *file);
