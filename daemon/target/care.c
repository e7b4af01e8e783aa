/* What is in the target's code that is not of its files. */
#include "private.h"

#include "proto/base/texts.h"
#include "ptracer.h"
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
	for (int outcome = 0; outcome < REPAIR_OUTCOMES; outcome++) {
		repair_describe(&repair, outcome, text, sizeof(text));
		if (text[0])
			findings_note(&target->findings, text);
	}
	repair_deinit(&repair);
}

/* ---- breakpoints of ours --------------------------------------------------------------------- */

static bool is_over(void *context)
{
	struct target *target = context;

	return target_state_of(target) != TARGET_ATTACHED || target->is_ending;
}

static void say(void *context, const char *text)
{
	struct target *target = context;

	findings_note(&target->findings, text);
}

static void tell(void *context, const char *text)
{
	say(context, text);
	target_tell(context, text);
}

static struct places_owner owner_of(struct target *target)
{
	return (struct places_owner){
		.pid = target->pid,
		.objects = &target->objects,
		.is_over = is_over,
		.say = say,
		.tell = tell,
		.context = target,
	};
}

int target_remember_places(struct target *target, uint32_t object, const struct uprobe_site *sites,
			   size_t count)
{
	int error = 0;

	for (size_t i = 0; i < count && error == 0; i++) {
		union dhat_cookie_word word = { .word = sites[i].cookie };

		error = places_add(&target->places, object,
				   objects_at(&target->objects, object)->fd, sites[i].file_offset,
				   word.parts.site < target->probed.shown.probe_count
					   ? target->probed.shown.probes[word.parts.site].function
					   : "a function");
	}
	return error;
}

bool target_is_patched(struct target *target, uint32_t object, uint64_t file_offset)
{
	const struct places_owner owner = owner_of(target);

	return places_is_patched(&owner, object, file_offset);
}

void target_look_after_code(struct target *target)
{
	const struct target_hooks *hooks = &target->services.hooks;
	const struct places_owner owner = owner_of(target);

	if (target->is_observed && places_check(&target->places, &owner) && hooks->wants_mapper)
		hooks->wants_mapper(hooks->context, target);
}

/* A debugger that is there may have saved what is there now, and write it back. */
void target_restore_places(struct target *target)
{
	const struct places_owner owner = owner_of(target);
	struct ptracer tracer = { 0 };

	if (places_taken(&target->places) && !target_is_debugged(target, &tracer))
		places_restore(&target->places, &owner);
}

void target_search_copies(struct target *target, bool all)
{
	const struct places_owner owner = owner_of(target);

	copies_search(&target->copies, &target->places, &owner, all);
}

/* ---- debuggers ------------------------------------------------------------------------------- */

bool target_is_debugged(struct target *target, struct ptracer *ret)
{
	struct ptracer tracer;

	if (is_over(target) || ptracer_find(target->pid, &tracer) || tracer.pid == 0 ||
	    !tracer.sets_breakpoints || tracer.is_dhatd)
		return false;
	*ret = tracer;
	return true;
}
