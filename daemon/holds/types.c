#include "types.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image_names.h"
#include "proto/base/cleanup.h"

void types_deinit(struct types *types)
{
	for (uint32_t i = 0; i < types->count; i++)
		free(types->names[i]);
	free(types->names);
	*types = (struct types){ 0 };
}

/* ---- names ---------------------------------------------------------------------------------- */

static const char *behind(const char *text, const char *begin)
{
	return text && !strncmp(text, begin, strlen(begin)) ? text + strlen(begin) : NULL;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), size = strlen(end);

	return length > size && !strcmp(text + length - size, end);
}

/* The first of the arguments between the '<' that a text begins with and its end: up to a comma
 * that is in no bracket. "->" closes none. The caller frees; NULL: there is none. */
static char *first_argument(const char *text)
{
	int depth = 0;
	const char *at;

	if (*text != '<')
		return NULL;
	for (at = ++text; *at; at++) {
		if (strchr("<([{", *at))
			depth++;
		else if (strchr(">)]}", *at) && at[-1] != '-' && depth-- == 0)
			break;
		else if (*at == ',' && !depth)
			break;
	}
	return *at && at > text ? strndup(text, at - text) : NULL;
}

/* What shared_ptr's control blocks hold: they are what make_shared allocates. */
static char *type_of_class(const char *class)
{
	static const char *const holders[] = { "std::_Sp_counted_ptr_inplace",
					       "std::_Sp_counted_ptr", "std::_Sp_counted_deleter",
					       "std::__1::__shared_ptr_emplace",
					       "std::__1::__shared_ptr_pointer" };

	for (size_t i = 0; i < ARRAY_SIZE(holders); i++) {
		const char *arguments = behind(class, holders[i]);
		char *type = arguments ? first_argument(arguments) : NULL;

		if (type)
			return type;
	}
	return strdup(class);
}

char *types_of_variable(const char *name)
{
	static const char *const tables[] = { "_ops", "_vtable", "_vtbl", "_methods", "_Type" };
	const char *class = behind(name, "vtable for ");

	if (class)
		return type_of_class(class);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (ends_with(name, tables[i]))
			return strdup(name);
	return NULL;
}

/* "a::b::<T, U>" (the v0 mangling) and "a::b<T, U>" (DWARF). */
static char *argument_of(const char *name, const char *function)
{
	const char *arguments = behind(name, function);

	if (arguments && behind(arguments, "::"))
		arguments += 2;
	return arguments ? first_argument(arguments) : NULL;
}

char *types_of_function(const char *name)
{
	static const char task[] = "tokio::runtime::task::raw::poll";
	_cleanup_free_ char *of_task = argument_of(name, task);
	char *type = NULL;

	if (of_task) {
		/* what rustc before 1.69 puts around an async function's state */
		_cleanup_free_ char *inner =
			argument_of(of_task, "core::future::from_generator::GenFuture");

		return asprintf(&type, "Tokio task %s", inner ? inner : of_task) < 0 ? NULL : type;
	}
	if (behind(name, task))
		return strdup("Tokio task");
	type = argument_of(name, "core::ptr::drop_in_place");
	if (!type && *name == '<' && strstr(name, " as ")) { /* "<T as a::Trait>::method" */
		_cleanup_free_ char *as = first_argument(name);
		char *end = as ? strstr(as, " as ") : NULL;

		type = end ? strndup(as, end - as) : NULL;
	}
	return type;
}

/* ---- what leads to them --------------------------------------------------------------------- */

/* In the order of trying: what fat pointers have beside the address; what a C++ object begins with;
 * a Tokio task's header (state, queue, vtable); a Python object, with or without the collector's
 * head. */
#define BESIDE CLOSER_WORDS
static const size_t clues[] = { BESIDE, 0, 2, 1, 3 };
#define CLUES ARRAY_SIZE(clues)
#define TABLE_WORDS 4 /* of a vtable: drop_in_place, size, alignment, the first method */

static uint64_t clue_of(const struct site_places *site, size_t clue)
{
	return clues[clue] == BESIDE ? site->beside : site->words[clues[clue]];
}

struct finding {
	const struct scan_once *scan;
	const struct target_identity *identity;
	const struct pointer_places *places;
	struct symbolizer *symbolizer;
	struct image_name *variables, *functions;
	struct closer_span *tables; /* those without a name of use */
	struct closer_answer contents;
	uint32_t variable_count, function_count, table_count;
};

static void finding_deinit(struct finding *finding)
{
	image_names_free(finding->variables, finding->variable_count);
	image_names_free(finding->functions, finding->function_count);
	free(finding->tables);
	closer_answer_deinit(&finding->contents);
}

static int name_variables(struct finding *finding)
{
	const struct pointer_places *places = finding->places;

	finding->variables = calloc(places->site_count * CLUES + 1, sizeof(*finding->variables));
	if (!finding->variables)
		return -ENOMEM;
	for (uint32_t i = 0; i < places->site_count; i++)
		for (size_t j = 0; j < CLUES; j++) {
			uint64_t addr = clue_of(&places->sites[i], j);

			if (addr)
				finding->variables[finding->variable_count++].addr = addr;
		}
	return image_names_find(finding->scan, finding->identity, finding->symbolizer,
				IMAGE_VARIABLES, finding->variables, finding->variable_count);
}

/* Rust's have names that say nothing ("anon.…", "vtable.3"), or none. */
static int choose_tables(struct finding *finding)
{
	finding->tables = calloc(finding->variable_count + 1ul, sizeof(*finding->tables));
	if (!finding->tables)
		return -ENOMEM;
	for (uint32_t i = 0; i < finding->variable_count; i++) {
		const struct image_name *variable = &finding->variables[i];
		const char *name = variable->name;

		if (variable->addr % sizeof(uint64_t) ||
		    (i && variable->addr == finding->variables[i - 1].addr) ||
		    (name && !behind(name, "anon.") && !behind(name, "vtable.") &&
		     !behind(name, ".L")))
			continue;
		finding->tables[finding->table_count++] =
			(struct closer_span){ variable->addr,
					      variable->addr + TABLE_WORDS * sizeof(uint64_t) };
	}
	return 0;
}

static int name_functions(struct finding *finding)
{
	size_t room = finding->table_count * (size_t)TABLE_WORDS + 1;

	finding->functions = calloc(room, sizeof(*finding->functions));
	if (!finding->functions)
		return -ENOMEM;
	for (uint32_t i = 0; i < finding->table_count; i++)
		for (size_t j = 0; j < TABLE_WORDS; j++) {
			uint64_t addr = finding->contents.heads[i].words[j];

			if (addr)
				finding->functions[finding->function_count++].addr = addr;
		}
	return image_names_find(finding->scan, finding->identity, finding->symbolizer,
				IMAGE_FUNCTIONS, finding->functions, finding->function_count);
}

static char *type_of_table(const struct finding *finding, uint64_t addr)
{
	char *type = NULL;

	for (uint32_t i = 0; i < finding->table_count && !type; i++)
		for (size_t j = 0; j < TABLE_WORDS && !type && finding->tables[i].start == addr;
		     j++) {
			const struct image_name *function =
				image_names_get(finding->functions, finding->function_count,
						finding->contents.heads[i].words[j]);

			type = function && function->name ? types_of_function(function->name)
							  : NULL;
		}
	return type;
}

/* A block that points to a table of functions, and is none of the shapes above, points to it
 * somewhere else than at a header of its own. */
static char *type_of(const struct finding *finding, const struct site_places *site)
{
	char *type = NULL;

	for (size_t i = 0; i < CLUES && !type; i++) {
		uint64_t addr = clue_of(site, i);
		const struct image_name *variable =
			image_names_get(finding->variables, finding->variable_count, addr);

		if (!variable)
			continue;
		type = variable->name ? types_of_variable(variable->name) : NULL;
		if (!type)
			type = type_of_table(finding, addr);
	}
	return type;
}

int types_find(const struct scan_once *scan, const struct target_identity *identity,
	       const struct pointer_places *places, const struct types_memory *memory,
	       struct symbolizer *symbolizer, struct types *ret)
{
	_cleanup_(finding_deinit) struct finding finding = {
		.scan = scan, .identity = identity, .places = places, .symbolizer = symbolizer
	};
	struct types types = { .names = calloc(places->site_count + 1ul, sizeof(char *)),
			       .count = places->site_count };
	int r = types.names ? name_variables(&finding) : -ENOMEM;

	if (r == 0)
		r = choose_tables(&finding);
	if (r == 0) {
		struct closer_question question = { .heads = finding.tables,
						    .head_count = finding.table_count };

		r = memory->look(memory->context, &question, &finding.contents);
	}
	if (r == 0)
		r = name_functions(&finding);
	for (uint32_t i = 0; i < types.count && r == 0; i++)
		types.names[i] = type_of(&finding, &places->sites[i]);
	if (r) {
		types_deinit(&types);
		return r;
	}
	*ret = types;
	return 0;
}
