/* Allocators in a target's files that cannot be found by name: hidden.h. */
#include "private.h"

#include "daemon/kernel/features.h"
#include "daemon/object/sites/hidden.h"
#include "daemon/proc/status.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "trial.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- what is said ------------------------------------------------------------------------- */

static int say(struct target *target, const struct object_slot *slot, unsigned maker,
	       const char *text)
{
	char key[PATH_MAX + 64];

	hidden_key(slot->path, maker, key, sizeof(key));
	return findings_partial(&target->findings, key, 0, "%s", text);
}

int target_say_hidden(struct target *target, const struct object_slot *slot, uint32_t makers)
{
	char text[HIDDEN_TEXT_CHARS];
	int error = 0;

	for (unsigned maker = 0; maker < OBJECT_MAKER_COUNT && !error; maker++) {
		if (!(makers >> maker & 1))
			continue;
		hidden_describe(&slot->survey->desc, slot->path, maker, text, sizeof(text));
		error = say(target, slot, maker, text);
	}
	return error;
}

/* ---- found by its code -------------------------------------------------------------------- */

static bool has_unseen_inner(const struct object_desc *desc, const struct trial *trial)
{
	for (size_t i = 0; i < desc->entry_count; i++)
		if (trial->roles[i] == CONDUCT_UNSEEN && desc->entries[i].is_inner)
			return true;
	return false;
}

/* What each entry has turned out to do. The sites stay the survey's. -ENOTSUP: one of them has no
 * place for a probe. */
static int choose_sites(const struct survey *survey, const struct trial *trial, struct sites *ret)
{
	/* what a free calls inside must not look as if the program had called it */
	bool frees_await = has_unseen_inner(&survey->desc, trial);

	for (size_t i = 0; i < survey->desc.entry_count; i++) {
		enum conduct_role role = trial->roles[i];
		const struct site *site =
			survey_candidate(survey, i, role, role == CONDUCT_FREE && frees_await);

		if (role == CONDUCT_NONE)
			continue;
		if (!site || (site->is_refused && role != CONDUCT_UNSEEN))
			return -ENOTSUP;
		ret->list[ret->count++] = *site;
	}
	return 0;
}

/* To be in use it may have to be called by a client first. A trial costs an idle process nothing,
 * and a busy one what the probes would. */
#define FIRST_PAUSE_NS 1000000000ull
#define MAX_PAUSE_NS 60000000000ull

static void wait_for_use(struct target *target, uint32_t object, uint32_t makers)
{
	struct target_hidden *hidden = &target->hidden;

	if (hidden->count == ARRAY_SIZE(hidden->waiting))
		return;
	hidden->waiting[hidden->count++] =
		(struct hidden_waiting){ .object = object, .makers = makers };
	hidden->pause_ns = FIRST_PAUSE_NS;
	atomic_store(&hidden->due_ns, clock_now_ns(CLOCK_MONOTONIC) + FIRST_PAUSE_NS);
}

/* Found or not, the C library's own malloc is in there, too, and has no texts to be known by. */
static int say_library(struct target *target, const struct object_slot *slot)
{
	return findings_partial(
		&target->findings, slot->path, 0,
		"%.100s is linked statically and has no symbols: should its C library "
		"have a malloc of its own, what that hands out is not counted",
		dhat_text_base_name(slot->path));
}

/* A seccomp filter may have come since the attach, and may kill at a return probe. */
bool target_may_try(const struct target *target)
{
	struct proc_status status;

	if (target->avoids_return_probes)
		return false;
	return target->has_seccomp || proc_status_read(target->pid, &status) ||
	       status.seccomp_mode == 0 || !features_return_probes_kill(target->kind);
}

/* Once proven. -ENOTSUP: they cannot be probed. */
static int probe_proven(struct target *target, uint32_t object, const struct trial *trial,
			struct dhat_error *err)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	const struct object_desc *desc = &slot->survey->desc;
	struct site list[OBJECT_MAX_ENTRIES];
	struct sites sites = { .list = list };
	int error = choose_sites(slot->survey, trial, &sites);

	if (error == 0)
		error = target_probe_sites(target, object, &sites, 0, err);
	if (error)
		return error;
	return desc->is_static && !desc->has_symtab ? say_library(target, slot) : 0;
}

int target_probe_by_code(struct target *target, uint32_t object, uint32_t *makers,
			 struct dhat_error *err)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	bool can_be_now = !target->is_observed && !target->options.from_start;
	struct trial trial = { 0 };
	struct dhat_error why = { 0 };
	int error;

	if (!*makers || !slot->survey->candidates.count || !target_may_try(target))
		return 0; /* then it stays hidden */
	if (!can_be_now || target_try_entries(target, slot->fd, slot->survey, &trial, &why) ||
	    !trial.is_proven) {
		wait_for_use(target, object, *makers);
		return 0;
	}
	error = probe_proven(target, object, &trial, err);
	if (error == 0)
		*makers = 0;
	return error == -ENOTSUP ? 0 : error;
}

/* ---- later ---------------------------------------------------------------------------------- */

bool target_has_hidden_due(const struct target *target, uint64_t now_ns)
{
	uint64_t due_ns = atomic_load(&target->hidden.due_ns);

	return due_ns && now_ns >= due_ns;
}

void target_forget_hidden(struct target *target)
{
	target->hidden.count = 0;
	atomic_store(&target->hidden.due_ns, 0);
}

static void say_found(struct target *target, const struct object_slot *slot, uint32_t makers)
{
	const char *slash = strrchr(slot->path, '/');
	char key[PATH_MAX + 64], text[256];

	for (unsigned maker = 0; maker < OBJECT_MAKER_COUNT; maker++) {
		if (!(makers >> maker & 1))
			continue;
		hidden_key(slot->path, maker, key, sizeof(key));
		findings_withdraw_partial(&target->findings, key);
		snprintf(text, sizeof(text),
			 "%s in %.100s has been in use now, was found by its code, and is counted "
			 "from here on",
			 hidden_name(&slot->survey->desc, maker), slash ? slash + 1 : slot->path);
		findings_note(&target->findings, text);
		target_tell(target, text);
	}
}

/* What was called enough, and told nothing, will tell nothing the next time. */
#define MAX_FAILURES 3

/* True: it need not be tried again. */
static bool try_again(struct target *target, struct hidden_waiting *waiting)
{
	const struct object_slot *slot = objects_at(&target->objects, waiting->object);
	struct trial trial = { 0 };
	struct dhat_error why = { 0 };

	if (!objects_is_mapped(&target->objects, waiting->object))
		return false;
	if (target_try_entries(target, slot->fd, slot->survey, &trial, &why))
		return ++waiting->failures == MAX_FAILURES;
	if (trial.was_cut)
		return false;
	if (!trial.is_proven)
		return trial.call_count >= TRIAL_FEW && ++waiting->failures == MAX_FAILURES;
	if (probe_proven(target, waiting->object, &trial, &why) == 0) {
		target_lock(target);
		target->probed.late_allocators++;
		target_unlock(target);
		say_found(target, slot, waiting->makers);
	}
	return true;
}

void target_try_hidden(struct target *target)
{
	struct target_hidden *hidden = &target->hidden;

	pthread_mutex_lock(&target->map_lock);
	for (size_t i = 0; i < hidden->count;) {
		if (target_state_of(target) != TARGET_ATTACHED || target->is_ending ||
		    target->is_finished || !target_may_try(target))
			break;
		if (try_again(target, &hidden->waiting[i]))
			hidden->waiting[i] = hidden->waiting[--hidden->count];
		else
			i++;
	}
	hidden->pause_ns *= 2;
	if (hidden->pause_ns > MAX_PAUSE_NS)
		hidden->pause_ns = MAX_PAUSE_NS;
	atomic_store(&hidden->due_ns,
		     hidden->count ? clock_now_ns(CLOCK_MONOTONIC) + hidden->pause_ns : 0);
	pthread_mutex_unlock(&target->map_lock);
}
