/* What is in the target's code that is not of its files. */
#include "private.h"

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
