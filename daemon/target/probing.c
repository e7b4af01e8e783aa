/* The allocators of the target's objects, probed. */
#include "check.h"
#include "private.h"

#include "daemon/object/sites/allocators.h"
#include "daemon/object/sites/custom.h"
#include "daemon/object/sites/hidden.h"
#include "preflight.h"
#include "proto/base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static struct dhat_cookie cookie_of(const struct allocator_site *site, uint8_t domain,
				    uint8_t phase, uint16_t number)
{
	struct dhat_cookie cookie = {
		.role = site->function.role,
		.phase = phase,
		.is_by_exit = site->returns == ALLOCATOR_RETURNS_EXITS,
		.has_header = site->family && site->family->has_header,
		.is_nesting = site->function.role == DHAT_ROLE_FREE &&
			      site->returns != ALLOCATOR_RETURNS_NOTHING,
		.domain = domain,
		.rsp_words = site->place.rsp_words,
		.site = number,
	};

	memcpy(cookie.arg_reg, site->arg_reg, sizeof(cookie.arg_reg));
	return cookie;
}

static int compare_sites(const void *a, const void *b)
{
	const struct uprobe_site *x = a, *y = b;
	union dhat_cookie_word p = { .word = x->cookie }, q = { .word = y->cookie };
	int x_free = p.parts.role == DHAT_ROLE_FREE, y_free = q.parts.role == DHAT_ROLE_FREE;

	return y_free - x_free;
}

/* Frees first: an allocator that is probed while it runs must not look as if it leaked. */
static size_t make_uprobe_sites(const struct allocator_site *sites, size_t count, uint8_t domain,
				size_t first_number, struct uprobe_site *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		union dhat_cookie_word word = { 0 };

		if (sites[i].is_refused)
			continue;
		word.parts = cookie_of(&sites[i], domain, DHAT_PHASE_ENTRY, first_number + i);
		ret[n++] = (struct uprobe_site){
			.file_offset = sites[i].place_file_offset,
			.cookie = word.word,
			.wants_return = sites[i].returns == ALLOCATOR_RETURNS_PROBE,
		};
		word.parts = cookie_of(&sites[i], domain, DHAT_PHASE_EXIT, first_number + i);
		for (size_t j = 0; j < sites[i].exit_count; j++) {
			word.parts.arg_reg[0] = sites[i].exits[j].result_reg;
			ret[n++] = (struct uprobe_site){
				.file_offset = sites[i].exits[j].file_offset,
				.cookie = word.word,
			};
		}
	}
	qsort(ret, n, sizeof(*ret), compare_sites);
	return n;
}

/* An exit shared by two functions is one place and is probed once. */
static size_t drop_doubles(struct uprobe_site *sites, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		bool is_double = false;

		for (size_t j = 0; j < kept && !is_double; j++)
			is_double = sites[j].file_offset == sites[i].file_offset;
		if (!is_double)
			sites[kept++] = sites[i];
	}
	return kept;
}

/* Functions that look like an allocator's and are in no table; with `lock`. */
static int note_unknown(struct target *target, const struct object_slot *slot,
			const struct allocator_site *sites, size_t count)
{
	char names[400] = "", note[PATH_MAX + 700];
	size_t unknown = 0;

	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(names);

		if (!sites[i].is_unknown)
			continue;
		if (unknown++ < 8)
			snprintf(names + used, sizeof(names) - used, "%s%.40s", used ? ", " : "",
				 sites[i].function.name);
	}
	if (!unknown)
		return 0;
	snprintf(note, sizeof(note),
		 "%zu function%s of %s %s not known to dhatd: %s%s; calls are counted, and the "
		 "first "
		 "one makes the profile inexact",
		 unknown, unknown == 1 ? "" : "s", slot->path, unknown == 1 ? "is" : "are", names,
		 unknown > 8 ? " …" : "");
	return texts_add(&target->notes, note);
}

static int remember_probes(struct target *target, const struct object_slot *slot,
			   const struct allocator_site *sites, size_t count)
{
	struct target_probe *probes;
	char line[PATH_MAX + 80];
	int error = 0;

	target_lock(target);
	probes = reallocarray(target->probes, target->probe_count + count, sizeof(*probes));
	if (probes)
		target->probes = probes;
	else
		error = -ENOMEM;
	for (size_t i = 0; i < count && !error; i++) {
		const struct allocator_site *site = &sites[i];
		struct target_probe *probe = &probes[target->probe_count];

		*probe = (struct target_probe){
			.link = uprobe_kind_name(target->kind),
			.returns_by = site->is_refused				 ? "not probed"
				      : site->returns == ALLOCATOR_RETURNS_EXITS ? "exit probes"
				      : site->returns != ALLOCATOR_RETURNS_PROBE ? ""
				      : target->kind == UPROBE_SESSION		 ? "session"
										 : "return probe",
			.role = site->function.role,
			.is_emulated = site->place.is_emulated,
			.function_vaddr = site->symbol->vaddr,
			.site_vaddr = site->symbol->vaddr + site->place.offset,
			.file_offset = site->place_file_offset,
			.function = strdup(site->function.name),
			.object_path = strdup(slot->path),
		};
		if (!probe->function || !probe->object_path) {
			free(probe->function);
			free(probe->object_path);
			error = -ENOMEM;
			break;
		}
		snprintf(probe->allocator, sizeof(probe->allocator), "%s", site->allocator);
		snprintf(probe->instruction, sizeof(probe->instruction), "%s",
			 site->place.instruction);
		snprintf(probe->note, sizeof(probe->note), "%s", site->place.note);
		target->probe_count++;
		target->unseen_functions += site->is_refused;
	}
	if (!error)
		error = note_unknown(target, slot, sites, count);
	snprintf(line, sizeof(line), "%s (%s)", sites[0].allocator, slot->path);
	if (!error)
		error = texts_add(&target->allocators, line);
	target_unlock(target);
	return error;
}

/* A hook that somebody wrote into a function would be cut in two by a probe. */
static void refuse_patched(struct target *target, uint32_t object, struct allocator_site *sites,
			   size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct allocator_site *site = &sites[i];
		bool is_patched = !site->is_refused &&
				  target_is_patched(target, object, site->place_file_offset);

		for (size_t j = 0; j < site->exit_count && !site->is_refused && !is_patched; j++)
			is_patched = target_is_patched(target, object, site->exits[j].file_offset);
		if (!is_patched)
			continue;
		site->is_refused = true;
		snprintf(site->place.note, sizeof(site->place.note),
			 "its code was changed in memory: another library hooks it");
	}
}

/* Is this a program that copies its own code, and the probes with it? */
static int check_copier(struct target *target, const struct object_slot *slot,
			struct dhat_error *err)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	int error = preflight_copier(&preflight, slot->desc, slot->path, target->pid,
				     target->options.from_start);

	if (error == 0)
		error = preflight_verdict(&preflight, err);
	target_lock(target);
	for (size_t i = 0; i < preflight.count && error == 0; i++)
		error = texts_add_once(&target->notes, preflight.hazards[i].detail);
	target_unlock(target);
	return error;
}

int target_probe_sites(struct target *target, uint32_t object, struct allocator_site *sites,
		       size_t count, uint8_t domain, struct dhat_error *err)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	_cleanup_free_ struct uprobe_site *list = NULL;
	size_t most = 0, n;
	char path[64];
	int error;

	error = check_copier(target, slot, err);
	if (error)
		return error;
	refuse_patched(target, object, sites, count);
	for (size_t i = 0; i < count; i++)
		most += 1 + sites[i].exit_count;
	list = calloc(most + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	n = drop_doubles(list, make_uprobe_sites(sites, count, domain, target->probe_count, list));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", slot->fd);
	error = n ? tracer_attach(target->tracer, path, list, n, err) : 0;
	if (error == 0)
		error = remember_probes(target, slot, sites, count);
	return error ? error : target_remember_places(target, object, list, n);
}

static void note_missing_custom(struct target *target, const char *text)
{
	char note[512];

	snprintf(note, sizeof(note),
		 "'%.400s' names nothing that this program had when it was followed", text);
	target_lock(target);
	texts_add(&target->notes, note);
	target_unlock(target);
}

/* Probe what the user has named in one object. */
static int probe_customs(struct target *target, uint32_t object, bool *ret_is_whole,
			 struct dhat_error *err)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	struct allocator_site *sites = NULL;
	size_t count = 0;
	struct dhat_error why = { 0 };
	int error = customs_find(target->customs, slot->desc, slot->path, true,
				 target->avoids_return_probes, &sites, &count, &why);

	if (error == -ENOENT && target->options.is_followed) {
		note_missing_custom(target, why.message);
		*ret_is_whole = false;
		return 0;
	}
	if (error == 0 && count > 0)
		error = target_probe_sites(target, object, sites, count, CUSTOM_DOMAIN, &why);
	*ret_is_whole = hidden_is_named(sites, count);
	if (error)
		dhat_error_set(err, -error, why.code, "%s", why.message);
	allocators_sites_free(sites, count);
	return error;
}

static int probe_mappers(struct target *target, uint32_t object, struct dhat_error *err)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	struct allocator_site *sites = NULL;
	size_t count = 0;
	int error = allocators_find_mappers(slot->desc, true, target->avoids_return_probes, &sites,
					    &count);

	if (error == 0 && count > 0)
		error = target_probe_sites(target, object, sites, count, DHAT_DOMAIN_ANON, err);
	allocators_sites_free(sites, count);
	return error;
}

int target_probe_object(struct target *target, uint32_t object, struct dhat_error *err)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	struct allocator_site *sites = NULL;
	bool is_named = false;
	uint32_t hidden;
	size_t count = 0;
	int error;

	if (!slot->desc)
		return 0;
	error = allocators_find(slot->desc, slot->path, true, target->avoids_return_probes, &sites,
				&count);
	if (error == 0 && count > 0)
		error = target_probe_sites(target, object, sites, count, 0, err);
	hidden = error ? 0 : hidden_makers(slot->desc, sites, count);
	allocators_sites_free(sites, count);
	if (error == 0 && target->options.anonymous_memory)
		error = probe_mappers(target, object, err);
	if (error == 0)
		error = probe_customs(target, object, &is_named, err);
	if (error == 0 && !is_named)
		error = target_probe_by_code(target, object, &hidden, err);
	return error || is_named ? error : target_say_hidden(target, slot, hidden);
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
	if (target->probe_count > target->unseen_functions)
		return 0;
	if (target->has_copied_code)
		return dhat_error_set(err, ENOENT, DHAT_EXIT_NO_ALLOCATOR,
				      "no known allocator in process %d (%s): it has copied its "
				      "own code to memory "
				      "of no file, where nothing can be probed; start it without "
				      "that (huge pages "
				      "for code)",
				      (int)target->pid, target->identity.executable);
	/* it is known what is there, and how to name it */
	if (target->partials.count)
		return dhat_error_set(err, ENOENT, DHAT_EXIT_NO_ALLOCATOR,
				      "nothing in process %d can be probed: %.440s",
				      (int)target->pid, target->partials.list[0].text);
	return check_nothing_found(&target->objects, target->identity.executable, err);
}

bool target_probes_in(struct target *target, uint64_t addr)
{
	const struct mapping *mapping = mappings_find(target->mappings, addr);
	const char *path = mapping ? objects_at(&target->objects, mapping->object)->path : NULL;

	for (size_t i = 0; path && i < target->probe_count; i++)
		if (strcmp(target->probes[i].object_path, path) == 0)
			return true;
	return false;
}
