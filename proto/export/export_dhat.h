#pragma once
/* export_dhat: a snapshot as DHAT JSON, version 2, for Valgrind's dh_view.html and for the tools
 * that read its files.
 *
 * Frames are rendered to text, and points whose texts are equal are one program point in the file
 * (the viewer refuses two). Its sums are exact. Its maximum is not known when the parts had theirs
 * at different times: `mb` and `mbk` are then the sums, an upper bound, and the point is listed in
 * dhatd.merged_points with a lower bound beside it. A stack that ended early has one more frame at
 * its outer end that says why: "[stack ends early: no rule]"; so it is never merged with a whole
 * one. What the format has no place for (verdict, counters, probes, …) is in the top-level key
 * "dhatd", which the viewer ignores.
 */
#include <stdio.h>

#include "proto/profile/snapshot.h"

/* Errors of the stream show when it is committed (dhat_output_commit). */
/* trim_rules: as of dhat_rendering_new(); "trimmed" in the block names them. */
int dhat_export_dhat(const struct dhat_snapshot *snapshot, unsigned trim_rules, FILE *file,
		     struct dhat_error *err);
