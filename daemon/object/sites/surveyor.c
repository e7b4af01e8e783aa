#include "surveyor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocators.h"
#include "custom_sites.h"
#include "hidden.h"
#include "proto/base/cleanup.h"
#include "results.h"

DEFINE_CLEANUP_PTR(struct customs *, customs_free)
DEFINE_CLEANUP_PTR(struct object *, object_free)
DEFINE_CLEANUP_PTR(struct survey *, survey_free)

struct found { /* by one of the searches */
	struct allocator_site *list;
	size_t count;
};

static void found_deinit(struct found *found)
{
	allocators_sites_free(found->list, found->count);
}

/* ---- plain sites -------------------------------------------------------------------------- */

/* A way out may be in code that the function only jumps to. */
static int read_byte(const struct object *object, uint64_t file_offset, uint8_t *ret)
{
	for (size_t i = 0; i < object->symbol_count; i++) {
		const struct object_symbol *symbol = &object->symbols[i];

		if (file_offset < symbol->file_offset ||
		    file_offset - symbol->file_offset >= symbol->code_size)
			continue;
		*ret = symbol->code[file_offset - symbol->file_offset];
		return 0;
	}
	return -ENOENT;
}

static int read_bytes(const struct object *object, struct site *site)
{
	int r = site->is_refused ? 0 : read_byte(object, site->file_offset, &site->byte);

	for (size_t i = 0; i < site->exit_count && !r; i++)
		r = read_byte(object, site->exits[i].file_offset, &site->exits[i].byte);
	return r;
}

_Static_assert((int)SITE_RESULT_HERE == RESULT_HERE && (int)SITE_RESULT_BEGIN == RESULT_BEGIN &&
		       (int)SITE_RESULT_END == RESULT_END &&
		       (int)SITE_RESULT_ENTRY == RESULT_ENTRY &&
		       SITE_MAX_RESULTS == RESULT_SITES_MAX &&
		       DHAT_RESULT_ALWAYS == RESULT_ALWAYS &&
		       DHAT_RESULT_SAVED == RESULT_SIZE_SAVED,
	       "what the daemon knows of result sites");

static int copy_results(const struct object *object, const struct result_sites *from,
			struct site *ret)
{
	ret->results = calloc(from->count + 1, sizeof(*ret->results));
	if (!ret->results)
		return -ENOMEM;
	for (; ret->result_count < from->count; ret->result_count++) {
		const struct result_site *result = &from->list[ret->result_count];
		struct site_result *copy = &ret->results[ret->result_count];

		*copy = (struct site_result){
			.kind = result->kind,
			.byte = result->byte,
			.address_reg = result->address_reg,
			.size_reg = result->size_reg,
			.sp_words = result->sp_words,
			.frame_words = result->frame_words,
			.condition = result->condition,
			.by_us = result->by_us,
		};
		if (!object_offset_of_vaddr(object, result->vaddr, &copy->file_offset))
			return -ENOTSUP;
	}
	return 0;
}

/* People are shown one place: where the block is known on the first way. */
static void show_result(const struct object *object, const struct result_sites *results,
			struct site *site)
{
	for (size_t i = 0; i < results->count; i++) {
		const struct result_site *result = &results->list[i];

		if (result->kind != RESULT_HERE)
			continue;
		site->vaddr = result->vaddr;
		site->byte = result->byte;
		site->file_offset = site->results[i].file_offset;
		site->is_emulated = result->is_emulated;
		site->by_us = result->by_us;
		snprintf(site->instruction, sizeof(site->instruction), "%s", result->instruction);
		return;
	}
}

static int take_results(const struct object *object, const struct allocator_site *from,
			struct site *ret)
{
	int r = copy_results(object, &from->results, ret);

	if (r == 0)
		show_result(object, &from->results, ret);
	return r;
}

/* Takes the exits. */
static int make_site(const struct object *object, struct allocator_site *from, struct site *ret)
{
	*ret = (struct site){
		.function = strdup(from->function.name),
		.role = from->function.role,
		.has_header = from->family && from->family->has_header,
		.is_unknown = from->is_unknown,
		.is_refused = from->is_refused,
		.returns = from->returns,
		.function_vaddr = from->symbol->vaddr,
		.function_offset = from->symbol->file_offset,
		.function_bytes = from->symbol->size_bytes,
		.vaddr = from->symbol->vaddr + from->place.offset,
		.file_offset = from->place_file_offset,
		.sp_words = from->place.sp_words,
		.is_emulated = from->place.is_emulated,
		.by_us = from->place.by_us,
		.is_repeated = from->place.is_repeated,
		.exits = take_ptr(from->exits),
		.exit_count = from->exit_count,
	};
	from->exit_count = 0;
	memcpy(ret->arg_reg, from->arg_reg, sizeof(ret->arg_reg));
	snprintf(ret->allocator, sizeof(ret->allocator), "%s", from->allocator);
	snprintf(ret->instruction, sizeof(ret->instruction), "%s", from->place.instruction);
	snprintf(ret->note, sizeof(ret->note), "%s", from->place.note);
	if (!ret->function)
		return -ENOMEM;
	if (ret->returns == SITE_RETURNS_RESULTS)
		return take_results(object, from, ret);
	return read_bytes(object, ret);
}

static int make_sites(const struct object *object, const struct found *found, struct sites *ret)
{
	int r = 0;

	ret->list = calloc(found->count + 1, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	while (ret->count < found->count && !r) {
		r = make_site(object, &found->list[ret->count], &ret->list[ret->count]);
		ret->count++; /* what a half-made one owns is freed with the others */
	}
	return r;
}

/* ---- allocators without names ------------------------------------------------------------- */

/* malloc and its like under their plain names, in a file that is no C library, are whoever's texts
 * lie beside them. */
static bool is_of(const struct allocator_site *site, unsigned maker)
{
	return !site->family || site->family->maker == maker;
}

static uint32_t hidden_makers(const struct object *object, const struct found *found)
{
	uint32_t makers = object->desc.makers;

	/* from 3.13 on it has a copy, for its own objects alone */
	if (makers >> OBJECT_MAKER_CPYTHON & 1)
		makers &= ~(1u << OBJECT_MAKER_MIMALLOC);
	for (unsigned maker = 0; !object_maker_is_runtime(maker); maker++)
		for (size_t i = 0; i < found->count; i++)
			if (!found->list[i].is_refused && is_of(&found->list[i], maker))
				makers &= ~(1u << maker);
	return makers;
}

static const struct allocator_function candidates[SURVEY_CANDIDATES] = {
	/* not called meanwhile: as long as nobody calls it nothing is missing */
	[CONDUCT_UNSEEN] = { .role = DHAT_ROLE_UNKNOWN },
	[CONDUCT_NONE] = { .role = DHAT_ROLE_UNKNOWN },
	[CONDUCT_MALLOC] = { .role = DHAT_ROLE_MALLOC, .arg = { 0 } },
	[CONDUCT_CALLOC] = { .role = DHAT_ROLE_CALLOC, .arg = { 0, 1 } },
	[CONDUCT_ALIGNED] = { .role = DHAT_ROLE_MEMALIGN, .arg = { 0, 1 } },
	[CONDUCT_FREE] = { .role = DHAT_ROLE_FREE, .arg = { 0 } },
	[CONDUCT_REALLOC] = { .role = DHAT_ROLE_REALLOC, .arg = { 0, 1 } },
	[CONDUCT_ROLES] = { .role = DHAT_ROLE_FREE, .arg = { 0 }, .awaits = true },
};

static const struct object_symbol *symbol_at(const struct object *object, uint64_t vaddr)
{
	for (size_t i = 0; i < object->symbol_count; i++)
		if (object->symbols[i].vaddr == vaddr && object->symbols[i].name[0] == '+')
			return &object->symbols[i];
	return NULL;
}

static int make_candidate(const struct object *object, const struct object_entry *entry,
			  const struct allocator_function *as, struct site *ret)
{
	const struct allocator_options options = { .may_fork = true };
	const struct object_symbol nowhere = { .vaddr = entry->vaddr };
	const struct object_symbol *symbol = symbol_at(object, entry->vaddr);
	struct allocator_function function = *as;
	struct allocator_site site;
	int r;

	function.name = symbol ? symbol->name : "";
	r = symbol ? allocators_place(object, symbol, &function, &options, &site) : -ENOTSUP;
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		site = (struct allocator_site){
			.function = function,
			.symbol = symbol ? symbol : &nowhere,
			.is_refused = true,
		};
	snprintf(site.allocator, sizeof(site.allocator), "%.30s, found by its code",
		 hidden_name(&object->desc, entry->maker));
	return make_site(object, &site, ret);
}

/* The file once more, with the code of the entries. */
static int describe_entries(int fd, const struct object *object, struct object **ret)
{
	char texts[OBJECT_MAX_ENTRIES][24];
	const char *names[OBJECT_MAX_ENTRIES + 1] = { NULL };
	const struct object_desc *desc = &object->desc;

	for (size_t i = 0; i < desc->entry_count; i++) {
		snprintf(texts[i], sizeof(texts[i]), "+0x%" PRIx64, desc->entries[i].vaddr);
		names[i] = texts[i];
	}
	return object_describe(fd, names, object, ret, NULL);
}

static int find_candidates(int fd, const struct object *object, struct sites *ret)
{
	_cleanup_(object_free_ptr) struct object *entries = NULL;
	const struct object_desc *desc = &object->desc;
	int r = describe_entries(fd, object, &entries);

	if (r)
		return r;
	ret->list = calloc(desc->entry_count * SURVEY_CANDIDATES + 1, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	for (size_t i = 0; i < desc->entry_count; i++)
		for (size_t role = 0; role < SURVEY_CANDIDATES && !r; role++)
			r = make_candidate(entries, &desc->entries[i], &candidates[role],
					   &ret->list[ret->count++]);
	return r;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static int describe(int fd, const struct customs *customs, const char *path, struct object **ret,
		    struct dhat_error *err)
{
	_cleanup_free_ const char **names = calloc(customs->count + 1, sizeof(*names));
	size_t count = 0;

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < customs->count; i++)
		if (custom_is_in(&customs->list[i], path))
			names[count++] = customs->list[i].symbol;
	return allocators_describe(fd, names, ret, err);
}

static struct allocator_options options_of(const struct survey_question *question)
{
	return (struct allocator_options){ .may_fork = true,
					   .use_exit_probes = question->use_exit_probes,
					   .may_execute = question->may_execute };
}

static int survey_allocators(int fd, const struct object *object,
			     const struct survey_question *question, struct survey *survey)
{
	_cleanup_(found_deinit) struct found found = { 0 }, mappers = { 0 };
	const struct allocator_options options = options_of(question);
	int r = allocators_find(object, question->path, &options, &found.list, &found.count);

	if (r == 0 && question->use_result_sites)
		r = results_find(fd, object, question->may_execute, found.list, found.count);
	if (r == 0)
		r = allocators_prefer_exits(object, &options, found.list, found.count);
	if (r)
		return r;
	survey->hidden = hidden_makers(object, &found);
	r = make_sites(object, &found, &survey->allocators);
	if (r || !question->wants_mappers)
		return r;
	r = allocators_find_mappers(object, &options, &mappers.list, &mappers.count);
	if (r == 0)
		r = allocators_prefer_exits(object, &options, mappers.list, mappers.count);
	return r ? r : make_sites(object, &mappers, &survey->mappers);
}

/* ---- what a person has named --------------------------------------------------------------- */

/* Are these the functions of the allocator that has no names? Then they are named by address, as is
 * advised, and one of them resizes: who names two in a hurry has not named it. (Names are those of
 * something else beside it: a pool.) */
static bool name_the_hidden(const struct sites *customs)
{
	bool resizes = false;

	for (size_t i = 0; i < customs->count; i++) {
		if (customs->list[i].function[0] != '+')
			return false;
		resizes |= customs->list[i].role == DHAT_ROLE_REALLOC;
	}
	return resizes && sites_are_whole(customs);
}

static int survey_customs(const struct object *object, const struct customs *customs,
			  const struct survey_question *question, struct survey *survey)
{
	_cleanup_(found_deinit) struct found found = { 0 };
	const struct allocator_options options = options_of(question);
	int r = customs_find(customs, object, question->path, &options, &found.list, &found.count,
			     &survey->customs_why);

	if (r == 0)
		r = allocators_prefer_exits(object, &options, found.list, found.count);
	if (r == -ENOMEM)
		return r;
	survey->customs_error = -r;
	r = r ? 0 : make_sites(object, &found, &survey->customs);
	if (r || !name_the_hidden(&survey->customs))
		return r;
	/* what is hidden is then found; of a runtime's own heap nobody can name all */
	for (unsigned maker = 0; !object_maker_is_runtime(maker); maker++)
		survey->hidden &= ~(1u << maker);
	return r;
}

/* The description goes from the object to the survey. */
static void take_desc(struct object *object, struct survey *survey)
{
	survey->desc = object->desc;
	object->desc = (struct object_desc){ 0 };
}

int survey_make(int fd, const struct survey_question *question, struct survey **ret,
		struct dhat_error *err)
{
	_cleanup_(survey_free_ptr) struct survey *survey = calloc(1, sizeof(*survey));
	_cleanup_(customs_free_ptr) struct customs *customs = NULL;
	_cleanup_(object_free_ptr) struct object *object = NULL;
	int r = survey ? customs_new(question->customs, &customs, err) : -ENOMEM;

	if (r == 0)
		r = describe(fd, customs, question->path, &object, err);
	if (r == 0)
		r = survey_allocators(fd, object, question, survey);
	if (r == 0)
		r = survey_customs(object, customs, question, survey);
	if (r == 0 && survey->hidden && question->wants_candidates && object->desc.entry_count)
		r = find_candidates(fd, object, &survey->candidates);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot look for allocators in an ELF file");
	take_desc(object, survey);
	*ret = take_ptr(survey);
	return 0;
}
