/* Allocators in a target's files that cannot be found by name: hidden.h. */
#include "private.h"

#include "daemon/object/sites/hidden.h"
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

/* Found or not, the C library's own malloc is in there, too, and has no texts to be known by. */
static int say_library(struct target *target, const struct object_slot *slot)
{
	return findings_partial(
		&target->findings, slot->path, 0,
		"%.100s is linked statically and has no symbols: should its C library "
		"have a malloc of its own, what that hands out is not counted",
		dhat_text_base_name(slot->path));
}

bool target_may_try(const struct target *target)
{
	/* perf links are let go of one by one, a tenth of a second each */
	return !target->is_observed && !target->options.from_start && target->kind != UPROBE_PERF &&
	       !target->avoids_return_probes;
}

int target_probe_by_code(struct target *target, uint32_t object, uint32_t *makers,
			 struct dhat_error *err)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	const struct object_desc *desc = &slot->survey->desc;
	struct site list[OBJECT_MAX_ENTRIES];
	struct sites sites = { .list = list };
	struct trial trial = { 0 };
	struct dhat_error why = { 0 };
	int error;

	if (!*makers || !slot->survey->candidates.count || !target_may_try(target) ||
	    target_try_entries(target, slot->fd, slot->survey, &trial, &why) || !trial.is_proven)
		return 0; /* then it stays hidden */
	error = choose_sites(slot->survey, &trial, &sites);
	if (error == 0)
		error = target_probe_sites(target, object, &sites, 0, err);
	if (error)
		return error == -ENOTSUP ? 0 : error;
	*makers = 0;
	return desc->is_static && !desc->has_symtab ? say_library(target, slot) : 0;
}
