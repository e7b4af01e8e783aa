#pragma once
/* check: what must be known of a process before it is attached to. Answers are values; knows no
 * target. */
#include "daemon/kernel/uprobe.h"
#include "findings.h"
#include "objects.h"
#include "preflight.h"
#include "target.h"

/* Refuse what cannot or must not be attached to; what is only to be known is in *ret, which is to
 * be deinited in any case. from_start: it is being started by us, and all but the host is as we
 * made it. */
int check_process(pid_t pid, bool from_start, struct preflight *ret, struct dhat_error *err);

struct check_returns {
	bool avoids_probes; /* ends of calls are seen by probes on their exits only */
	const char *note;   /* static: why, if it is not as was asked for; else NULL */
};
/* How returns are to be seen with this kind of link. */
struct check_returns check_returns(enum uprobe_kind kind, bool has_seccomp, bool is_asked_for);

/* Allocators were found: what the executable tells beyond them, as a plan has it, among the
 * findings. */
int check_found(const struct objects *objects, const struct target_identity *identity,
		struct findings *findings);
/* No allocator was found: the error, with what the executable tells of the cause, as a plan has it.
 */
int check_nothing_found(const struct objects *objects, const struct target_identity *identity,
			struct dhat_error *err);
