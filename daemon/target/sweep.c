/* What is in the target's code that is not of its files. */
#include "private.h"

#include <signal.h>
#include <sys/wait.h>

#include "proto/base/texts.h"
#include "repair.h"

/* ---- breakpoints of others ------------------------------------------------------------------- */

/* A target that cannot be read is no reason not to attach, or not to leave. */
void target_sweep(struct target *target)
{
	const struct repair_options options = { 0 };
	struct repair repair = { 0 };
	char text[640];

	if (repair_process(target->pid, &options, &repair, NULL))
		return;
	target_lock(target);
	for (int outcome = 0; outcome < REPAIR_OUTCOMES; outcome++) {
		repair_describe(&repair, outcome, text, sizeof(text));
		if (text[0])
			texts_add_once(&target->notes, text);
	}
	target_unlock(target);
	repair_deinit(&repair);
}

/* ---- breakpoints of ours --------------------------------------------------------------------- */

void target_look_after_code(struct target *target)
{
	const struct target_hooks *hooks = &target->services.hooks;

	if (target_check_places(target) && hooks->wants_mapper)
		hooks->wants_mapper(hooks->context, target);
}

void target_tell(struct target *target, const char *text)
{
	const struct target_hooks *hooks = &target->services.hooks;

	if (hooks->told)
		hooks->told(hooks->context, target, text);
}

/* A breakpoint that no probe stands behind is fatal; the target's own are, too. */
void target_explain_end(struct target *target)
{
	static const char text[] =
		"it died by SIGTRAP. If it has no breakpoints of its own, it was ours: in a copy "
		"of "
		"its code that it made while it was watched (huge-page remapping, hook libraries), "
		"or put back by a debugger: LIMITS in dhatd(8)";
	bool is_trap;

	target_lock(target);
	is_trap = target->has_wait_status && WIFSIGNALED(target->wait_status) &&
		  WTERMSIG(target->wait_status) == SIGTRAP;
	if (is_trap)
		texts_add_once(&target->notes, text);
	target_unlock(target);
	if (is_trap)
		target_tell(target, text);
}
