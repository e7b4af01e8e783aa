/* Allocators in a target's files that cannot be found by name: hidden.h. */
#include "private.h"

#include "daemon/object/sites/hidden.h"
#include "daemon/worker/worker.h"
#include "proto/base/cleanup.h"
#include "trial.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP_PTR(struct object_desc *, object_desc_free)

/* ---- what is said ------------------------------------------------------------------------- */

static int say(struct target *target, const struct object_slot *slot, unsigned maker,
	       const char *text)
{
	char key[PATH_MAX + 64];
	int error;

	hidden_key(slot->path, maker, key, sizeof(key));
	target_lock(target);
	error = partials_say(&target->partials, key, 0, "%s", text);
	target_unlock(target);
	return error;
}

int target_say_hidden(struct target *target, const struct object_slot *slot, uint32_t makers)
{
	char text[HIDDEN_TEXT_CHARS];
	int error = 0;

	for (unsigned maker = 0; maker < OBJECT_MAKER_COUNT && !error; maker++) {
		if (!(makers >> maker & 1))
			continue;
		hidden_describe(slot->desc, slot->path, maker, text, sizeof(text));
		error = say(target, slot, maker, text);
	}
	return error;
}

/* ---- found by its code -------------------------------------------------------------------- */

/* The same file, with the code of the entries. */
static int describe_entries(struct target *target, const struct object_slot *slot,
			    struct object_desc **ret, struct dhat_error *err)
{
	char texts[OBJECT_MAX_ENTRIES][24];
	const char *names[OBJECT_MAX_ENTRIES + 1] = { NULL };
	int error;

	for (size_t i = 0; i < slot->desc->entry_count; i++) {
		snprintf(texts[i], sizeof(texts[i]), "+0x%" PRIx64, slot->desc->entries[i].vaddr);
		names[i] = texts[i];
	}
	error = worker_describe(target->services.worker, slot->fd, names, ret, err);

	if (error == 0) { /* looked for once */
		memcpy((*ret)->entries, slot->desc->entries, sizeof((*ret)->entries));
		(*ret)->entry_count = slot->desc->entry_count;
	}
	return error;
}

static const struct object_symbol *symbol_at(const struct object_desc *desc, uint64_t vaddr)
{
	for (size_t i = 0; i < desc->symbol_count; i++)
		if (desc->symbols[i].vaddr == vaddr && desc->symbols[i].name[0] == '+')
			return &desc->symbols[i];
	return NULL;
}

static const struct {
	uint8_t role, arg[2];
} roles[] = {
	/* not called meanwhile: as long as nobody calls it nothing is missing */
	[CONDUCT_UNSEEN] = { DHAT_ROLE_UNKNOWN, { 0 } },
	[CONDUCT_MALLOC] = { DHAT_ROLE_MALLOC, { 0 } },
	[CONDUCT_CALLOC] = { DHAT_ROLE_CALLOC, { 0, 1 } },
	[CONDUCT_ALIGNED] = { DHAT_ROLE_MEMALIGN, { 0, 1 } },
	[CONDUCT_FREE] = { DHAT_ROLE_FREE, { 0 } },
	[CONDUCT_REALLOC] = { DHAT_ROLE_REALLOC, { 0, 1 } },
};

static bool has_unseen_inner(const struct object_desc *desc, const struct trial *trial)
{
	for (size_t i = 0; i < desc->entry_count; i++)
		if (trial->roles[i] == CONDUCT_UNSEEN && desc->entries[i].is_inner)
			return true;
	return false;
}

/* -ENOTSUP: one of them has no place for a probe. */
static int place_entries(const struct object_desc *desc, const struct trial *trial,
			 struct allocator_site *ret, size_t *ret_count)
{
	size_t count = 0;

	for (size_t i = 0; i < desc->entry_count; i++) {
		const struct object_symbol *symbol = symbol_at(desc, desc->entries[i].vaddr);
		struct allocator_function function = { 0 };
		unsigned maker = desc->entries[i].maker;
		bool is_told = !strncmp(desc->malloc_version, object_maker_name(maker),
					strlen(object_maker_name(maker)));
		int error;

		if (trial->roles[i] == CONDUCT_NONE)
			continue;
		function.name = symbol ? symbol->name : "";
		function.role = roles[trial->roles[i]].role;
		memcpy(function.arg, roles[trial->roles[i]].arg, 2);
		/* what a free calls inside must not look as if the program had called it */
		function.awaits = function.role == DHAT_ROLE_FREE && has_unseen_inner(desc, trial);
		error = symbol ? allocators_place(desc, symbol, &function, true, false, &ret[count])
			       : -ENOTSUP;
		if (error == -ENOTSUP && symbol && function.role == DHAT_ROLE_UNKNOWN) {
			ret[count] = (struct allocator_site){ .function = function,
							      .symbol = symbol,
							      .is_refused = true };
			error = 0;
		}
		if (error)
			return error == -ENOMEM ? error : -ENOTSUP;
		snprintf(ret[count].allocator, sizeof(ret[count].allocator),
			 "%.30s, found by its code",
			 is_told ? desc->malloc_version : object_maker_name(maker));
		count++;
	}
	*ret_count = count;
	return 0;
}

/* Found or not, the C library's own malloc is in there, too, and has no texts to be known by. */
static int say_library(struct target *target, const struct object_slot *slot)
{
	const char *slash = strrchr(slot->path, '/');
	int error;

	target_lock(target);
	error = partials_say(&target->partials, slot->path, 0,
			     "%.100s is linked statically and has no symbols: should its C library "
			     "have a malloc of its own, what that hands out is not counted",
			     slash ? slash + 1 : slot->path);
	target_unlock(target);
	return error;
}

static bool may_try(const struct target *target, const struct object_slot *slot)
{
	/* perf links are let go of one by one, a tenth of a second each */
	return !target->is_observed && !target->options.from_start && slot->fd >= 0 &&
	       slot->desc->entry_count && target->kind != UPROBE_PERF &&
	       !target->avoids_return_probes;
}

int target_probe_by_code(struct target *target, uint32_t object, uint32_t *makers,
			 struct dhat_error *err)
{
	const struct object_slot *slot = objects_at(&target->objects, object);
	_cleanup_(object_desc_free_ptr) struct object_desc *desc = NULL;
	struct allocator_site sites[OBJECT_MAX_ENTRIES] = { 0 };
	struct trial trial = { 0 };
	struct dhat_error why = { 0 };
	size_t count = 0;
	int error = 0;

	if (!*makers || !may_try(target, slot) || describe_entries(target, slot, &desc, &why) ||
	    target_try_entries(target, slot->fd, desc, &trial, &why) || !trial.is_proven)
		return 0; /* then it stays hidden */
	error = place_entries(desc, &trial, sites, &count);
	if (error == 0)
		error = target_probe_sites(target, object, sites, count, 0, err);
	for (size_t i = 0; i < OBJECT_MAX_ENTRIES; i++)
		free(sites[i].exits);
	if (error)
		return error == -ENOTSUP ? 0 : error;
	*makers = 0;
	return slot->desc->is_static && !slot->desc->has_symtab ? say_library(target, slot) : 0;
}
