#pragma once
/* gate: a build's conditions on a profile, from the options to the exit code; the same for `dhatctl
 * assert` and `dhatd run --assert`.
 *
 *	dhat_gate_argp, dhat_gate_add()    as the command line is read
 *	dhat_gate_prepare()                before anything is begun
 *	dhat_gate_judge()                  for each profile
 *	dhat_gate_finish()                 once: reports, and what the exit code is
 */
#include <argp.h>

#include "judged.h"

struct dhat_gate { /* zeroed at first */
	struct dhat_assertion *assertions;
	size_t count, room;
	const char *baseline_path, *new_baseline_path, *junit_path; /* NULL: not asked for */
	bool may_be_partial, may_be_inexact, is_github;
	bool was_asked; /* an option of it was given */
	struct dhat_filter filter;

	/* private */
	struct dhat_digest *baseline;
	struct dhat_judgement **judgements;
	size_t judgement_count, judgement_room;
};

extern const struct argp dhat_gate_argp; /* input: struct dhat_gate */
void dhat_gate_deinit(struct dhat_gate *gate);

/* One assertion. -EINVAL: what is wrong with it has been said, with a mark below its place, in the
 * name of `program`. */
int dhat_gate_add(struct dhat_gate *gate, const char *text, const char *program);

/* Was anything of it asked for? */
bool dhat_gate_is_asked(const struct dhat_gate *gate);

/* Is all there that the assertions need, and can the results be written? */
int dhat_gate_prepare(struct dhat_gate *gate, struct dhat_error *err);

/* The snapshot is taken over, whether it succeeds or not. */
int dhat_gate_judge(struct dhat_gate *gate, struct dhat_snapshot *snapshot, struct dhat_error *err);

/* Prints to `file`, and writes the files. *ret_code: DHAT_EXIT_OK; DHAT_EXIT_INEXACT where a
 * profile is not one that was allowed, or an assertion cannot be decided, whatever else holds;
 * DHAT_EXIT_ASSERTION. A new baseline is not made of a profile that is not allowed. Failures are
 * those of printing and writing: each is tried whatever became of the others. Of several the first
 * is returned, and the others are said in the name of `program`. */
int dhat_gate_finish(struct dhat_gate *gate, FILE *file, bool as_json, const char *program,
		     enum dhat_exit *ret_code, struct dhat_error *err);
