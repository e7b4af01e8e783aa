#pragma once
/* index_page: which targets there are, with a way to each one's report. Pure. */
#include <stdio.h>

#include "proto/wire/dhat.pb-c.h"

/* Failures show at the stream. Whatever a name holds, it is text there. */
void index_page_begin(FILE *file);
void index_page_add(FILE *file, const Dhat__TargetStatus *status);
void index_page_end(FILE *file);
