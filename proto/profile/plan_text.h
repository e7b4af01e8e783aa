#pragma once
/* plan_text: what an attach would do, and what one has probed, as text: the same from `dhatd plan`
 * and from dhatctl. */
#include "proto/base/screen.h"
#include "proto/wire/dhat.pb-c.h"

/* pid: what was asked about, where the plan knows no process. */
void plan_text_print(FILE *file, const Dhat__Plan *plan, uint32_t pid);
/* All of it but the probes. */
void plan_text_summary(struct screen *screen, const Dhat__Plan *plan, uint32_t pid);

/* A line each: function, place, instruction there and whether the kernel emulates it. */
void plan_text_probes(struct screen *screen, Dhat__Probe *const *probes, size_t count);
/* Several lines behind one title. */
void plan_text_list(struct screen *screen, const char *title, char *const *texts, size_t count);
