#pragma once
/* judged: what became of a build's assertions, for people, for programs, and in the forms that
 * servers of builds read.
 *
 * Names are a target's choice. No line that is printed begins with one, behind its blanks: GitHub's
 * runner takes a line that begins with "::" for an order.
 */
#include "proto/base/screen.h"
#include "proto/profile/judgement.h"

/* A line for each assertion, and for one that does not hold its figures and the guilty stacks. */
void judged_print(struct screen *screen, const struct dhat_judgement *judgement);

/* An object; the caller prints it. NULL: out of memory. */
struct json_object *judged_as_json(const struct dhat_judgement *judgement);

/* JUnit's XML: a suite for each profile, a case for its verdict and for each assertion. The case of
 * the verdict has an error where it is not allowed, the others a failure where they do not hold, or
 * an error where that cannot be decided.
 * What fails at the stream shows when it is committed. */
int judged_junit(FILE *file, struct dhat_judgement *const *judgements, size_t count);

/* Annotations: an order of GitHub's workflows for each that does not hold, with file and line of
 * the innermost own frame of the guiltiest stack, as they are below root (that of the repository;
 * NULL: as they are). */
void judged_github(FILE *file, const struct dhat_judgement *judgement, const char *root);

/* Of these forms: "live.bytes == 0: 2.6 MiB (2,713,600 bytes)", with the baseline's where it is
 * needed. The caller frees; NULL: out of memory. */
char *judged_reason(const struct dhat_ruling *ruling);
/* "2.6 MiB (2,713,600 bytes) live in load_session at targets/demo_service.c:51"; whole: with all of
 * its own frames, a line each. */
char *judged_guilty(const struct dhat_judgement *judgement, const struct dhat_ruling *ruling,
		    size_t index, bool is_whole);
/* "the numbers are inexact: REASON"; NULL: they are exact, or out of memory. */
char *judged_verdict(const struct dhat_judgement *judgement);
