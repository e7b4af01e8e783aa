/* The allocators of the target's objects, probed. */
#include "check.h"
#include "private.h"

#include "daemon/object/sites/custom.h"
#include "daemon/source/uprobes.h"
#include "preflight.h"
#include "proto/base/cleanup.h"
#include "runtime.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Functions that look like an allocator's and are in no table. */
static int note_unknown(struct target *target, const struct object_slot *slot,
			const struct sites *sites)
{
	char names[400] = "", note[PATH_MAX + 700];
	size_t unknown = 0;

	for (size_t i = 0; i < sites->count; i++) {
		size_t used = strlen(names);

		if (!sites->list[i].is_unknown)
			continue;
		if (unknown++ < 8)
			snprintf(names + used, sizeof(names) - used, "%s%.40s", used ? ", " : "",
				 sites->list[i].function);
	}
	if (!unknown)
		return 0;
	snprintf(note, sizeof(note),
		 "%zu function%s of %s %s not known to dhatd: %s%s; calls are counted, and the "
		 "first "
		 "one makes the profile inexact",
		 unknown, unknown == 1 ? "" : "s", slot->path, unknown == 1 ? "is" : "are", names,
		 unknown > 8 ? " …" : "");
	return findings_note(&target->findings, note);
}

/* With `lock`. */
static void tell_glibc(struct target *target, const struct sites *sites)
{
	unsigned minor;

	for (size_t i = 0; i < sites->count; i++)
		if (sites->list[i].has_header &&
		    sscanf(sites->list[i].allocator, "glibc 2.%u", &minor) == 1)
			own_frees_glibc(target->collector.own_frees, minor);
}

static int remember_probes(struct target *target, const struct object_slot *slot,
			   const struct sites *sites)
{
	int error;

	target_lock(target);
	error = probed_add(&target->probed.shown, sites, slot->path, target->kind);
	for (size_t i = 0; i < sites->count; i++)
		target->probed.unseen_functions += sites->list[i].is_refused;
	tell_glibc(target, sites);
	target_unlock(target);
	return error ? error : note_unknown(target, slot, sites);
}

void target_forget_probes(struct target *target)
{
	probed_deinit(&target->probed.shown);
	target->probed = (struct target_probed){ 0 };
}

/* A hook that somebody wrote into a function would be cut in two by a probe. */
static void refuse_patched(struct target *target, uint32_t object, struct sites *sites)
{
	for (size_t i = 0; i < sites->count; i++) {
		struct site *site = &sites->list[i];
		bool is_patched =
			!site->is_refused && target_is_patched(target, object, site->file_offset);

		for (size_t j = 0; j < site->exit_count && !site->is_refused && !is_patched; j++)
			is_patched = target_is_patched(target, object, site->exits[j].file_offset);
		for (size_t j = 0; j < site->result_count && !site->is_refused && !is_patched; j++)
			is_patched =
				target_is_patched(target, object, site->results[j].file_offset);
		if (!is_patched)
			continue;
		site->is_refused = true;
		snprintf(site->note, sizeof(site->note),
			 "its code was changed in memory: another library hooks it");
	}
}

/* Is this a program that copies its own code, and the probes with it? */
static int check_copier(struct target *target, const struct object_slot *slot,
			struct dhat_error *err)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	int error = preflight_copier(&preflight, &slot->survey->desc, slot->path, target->pid,
				     target->options.from_start);

	if (error == 0)
		error = preflight_verdict(&preflight, err);
	for (size_t i = 0; i < preflight.count && error == 0; i++)
		error = findings_note(&target->findings, preflight.hazards[i].detail);
	return error;
}

int target_probe_sites(struct target *target, uint32_t object, struct sites *sites, uint8_t domain,
		       struct dhat_error *err)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	_cleanup_free_ struct uprobe_site *places = NULL;
	size_t place_count = 0;
	int error;

	if (!sites->count)
		return 0;
	error = check_copier(target, slot, err);
	if (error)
		return error;
	refuse_patched(target, object, sites);
	error = uprobes_place(sites, domain, target->probed.shown.probe_count, &places,
			      &place_count);
	if (error == 0)
		error = uprobes_attach(target->tracer, slot->fd, places, place_count, err);
	if (error == 0)
		error = remember_probes(target, slot, sites);
	return error ? error : target_remember_places(target, object, places, place_count);
}

static void note_missing_custom(struct target *target, const char *text)
{
	char note[512];

	snprintf(note, sizeof(note),
		 "'%.400s' names nothing that the program, or a library that it loaded late, has",
		 text);
	findings_note(&target->findings, note);
}

/* Probe what the user has named in one object. */
static int probe_customs(struct target *target, uint32_t object, struct survey *survey,
			 struct dhat_error *err)
{
	struct dhat_error why = { 0 };
	int error;

	if (survey->customs_error == ENOENT &&
	    (target->options.is_followed || target->is_observed)) {
		note_missing_custom(target, survey->customs_why.message);
		return 0;
	}
	if (survey->customs_error)
		return dhat_error_set(err, survey->customs_error, survey->customs_why.code, "%s",
				      survey->customs_why.message);
	error = target_probe_sites(target, object, &survey->customs, CUSTOM_DOMAIN, &why);
	return error ? dhat_error_set(err, -error, why.code, "%s", why.message) : 0;
}

static int probe_object(struct target *target, uint32_t object, struct dhat_error *err)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	struct survey *survey = slot->survey;
	uint32_t hidden;
	int error;

	if (!survey)
		return 0;
	hidden = runtime_uncounted(target->pid, survey->hidden, target->options.anonymous_memory);
	error = target_probe_sites(target, object, &survey->allocators, 0, err);
	if (error == 0)
		error = target_probe_sites(target, object, &survey->mappers, DHAT_DOMAIN_ANON, err);
	if (error == 0)
		error = probe_customs(target, object, survey, err);
	if (error == 0)
		error = target_probe_by_code(target, object, &hidden, err);
	return error ? error : target_say_hidden(target, slot, hidden);
}

int target_probe_object(struct target *target, uint32_t object, struct dhat_error *err)
{
	size_t before = target->probed.shown.probe_count;
	int error = probe_object(target, object, err);

	if (target->is_observed && target->probed.shown.probe_count > before)
		target->probed.late_allocators++;
	return error;
}

/* ---- what was found ------------------------------------------------------------------------- */

/* A name that matches nothing is a mistake, not an allocator that is never called; but of a program
 * that was followed to, nobody can have known. */
static int check_customs(struct target *target, struct dhat_error *err)
{
	for (size_t i = 0; i < target->customs->count; i++) {
		const struct custom *custom = &target->customs->list[i];
		bool is_found = false;

		for (size_t j = 0; j < target->objects.count && !is_found; j++) {
			const char *path = objects_at(&target->objects, j)->path;

			is_found = path && custom_is_in(custom, path);
		}
		if (!is_found && target->options.is_followed)
			note_missing_custom(target, custom->text);
		else if (!is_found)
			return dhat_error_set(
				err, ENOENT, DHAT_EXIT_USAGE,
				"process %d has mapped no file '%s', which '%s' names",
				(int)target->pid, custom->binary, custom->text);
	}
	return 0;
}

int target_check_found(struct target *target, struct dhat_error *err)
{
	int error = check_customs(target, err);

	if (error)
		return error;
	if (target->probed.shown.probe_count > target->probed.unseen_functions)
		return check_found(&target->objects, &target->identity, &target->findings);
	if (target->has_copied_code)
		return dhat_error_set(err, ENOENT, DHAT_EXIT_NO_ALLOCATOR,
				      "no known allocator in process %d (%s): it has copied its "
				      "own code to memory "
				      "of no file, where nothing can be probed; start it without "
				      "that (huge pages "
				      "for code)",
				      (int)target->pid, target->identity.executable);
	/* it is known what is there, and how to name it */
	findings_lock(&target->findings);
	if (target->findings.partials.count)
		error = dhat_error_set(err, ENOENT, DHAT_EXIT_NO_ALLOCATOR,
				       "nothing in process %d can be probed: %.440s",
				       (int)target->pid, target->findings.partials.list[0].text);
	findings_unlock(&target->findings);
	if (error)
		return error;
	return check_nothing_found(&target->objects, &target->identity, err);
}

bool target_probes_in(struct target *target, uint64_t addr)
{
	const struct mapping *mapping = mappings_find(target->mappings, addr);
	const char *path = mapping ? objects_at(&target->objects, mapping->object)->path : NULL;

	for (size_t i = 0; path && i < target->probed.shown.probe_count; i++)
		if (strcmp(target->probed.shown.probes[i].object_path, path) == 0)
			return true;
	return false;
}
