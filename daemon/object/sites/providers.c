#include "providers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

/* Copies of one allocator in one object. More than two have not been seen; a file that claims to
 * have more than this is lying. */
#define MAX_PREFIXES 8

struct prefixes {
	char list[MAX_PREFIXES][PROVIDER_PREFIX_BYTES];
	size_t count;
};

static bool is_listed(const struct prefixes *prefixes, const char *prefix, size_t size)
{
	size_t i;

	for (i = 0; i < prefixes->count; i++)
		if (strlen(prefixes->list[i]) == size && !strncmp(prefixes->list[i], prefix, size))
			return true;
	return false;
}

static void add_prefix(struct prefixes *prefixes, const char *prefix, size_t size)
{
	if (size >= PROVIDER_PREFIX_BYTES || prefixes->count == MAX_PREFIXES ||
	    is_listed(prefixes, prefix, size))
		return;
	memcpy(prefixes->list[prefixes->count], prefix, size);
	prefixes->list[prefixes->count++][size] = '\0';
}

/* What stands before one of a family's anchors in this name. */
static void add_prefix_of(struct prefixes *prefixes, const struct allocator_family *family,
			  const char *name)
{
	size_t i, size = strlen(name), length;

	for (i = 0; family->anchors && family->anchors[i]; i++) {
		length = strlen(family->anchors[i]);
		if (size > length && !strcmp(name + size - length, family->anchors[i]))
			add_prefix(prefixes, name, size - length);
	}
}

/* With the tags of clang's -fsanitize=alloc-token, which numbers the callers' types, each function
 * that hands out blocks is there once for each number: "__alloc_token_1_malloc"; or once for all
 * of them ("__alloc_token_malloc") with the number as a last argument. */
#define TOKEN "__alloc_token_"

static void add_token(struct prefixes *prefixes, const char *name)
{
	size_t size = sizeof(TOKEN) - 1, digits;

	if (strncmp(name, TOKEN, size) != 0)
		return;
	digits = strspn(name + size, "0123456789");
	if (digits && name[size + digits] == '_')
		size += digits + 1;
	add_prefix(prefixes, name, size);
}

static void find_prefixes(const struct object *object, const struct allocator_family *family,
			  struct prefixes *ret)
{
	size_t i;

	*ret = (struct prefixes){ 0 };
	for (i = 0; family->prefixes && family->prefixes[i]; i++)
		add_prefix(ret, family->prefixes[i], strlen(family->prefixes[i]));
	for (i = 0; object && i < object->sighting_count; i++)
		add_prefix_of(ret, family, object->sightings[i].name);
	for (i = 0; object && i < object->symbol_count; i++)
		add_prefix_of(ret, family, object->symbols[i].name);
}

static void find_tokens(const struct object *object, struct prefixes *ret)
{
	size_t i;

	*ret = (struct prefixes){ 0 };
	for (i = 0; i < object->sighting_count; i++)
		add_token(ret, object->sightings[i].name);
	for (i = 0; i < object->symbol_count; i++)
		add_token(ret, object->symbols[i].name);
}

/* ---- providers ---------------------------------------------------------------------------- */

struct search {
	const struct object *object;
	struct provider *list;
	size_t count;
};

static int add(struct search *search, const struct function_list *functions, const char *prefix,
	       const struct allocator_family *family)
{
	struct provider *grown =
		reallocarray(search->list, search->count + 1, sizeof(*search->list));

	if (!grown)
		return -ENOMEM;
	search->list = grown;
	grown = &grown[search->count++];
	*grown = (struct provider){
		.functions = *functions,
		.family = family,
		.are_operators = functions == &operator_functions && !prefix[0],
		.has_own_names = family && functions == &family->functions,
	};
	strcpy(grown->prefix, prefix);
	return 0;
}

/* Whose malloc is it that this object provides? */
static const struct allocator_family *plain_owner(const struct object *object)
{
	size_t i;

	for (i = 0; i < allocator_family_count; i++)
		if (allocator_families[i]->owns_plain &&
		    allocator_families[i]->is_present(object, ""))
			return allocator_families[i];
	return NULL;
}

static int add_plain(struct search *search, const struct allocator_family *owner)
{
	struct prefixes tokens;
	size_t i;
	int r = add(search, &plain_functions, "", owner);

	if (r == 0 && owner && owner->beside_plain.count)
		r = add(search, &owner->beside_plain, "", owner);
	find_tokens(search->object, &tokens);
	for (i = 0; i < tokens.count && r == 0; i++) {
		r = add(search, &plain_functions, tokens.list[i], owner);
		if (r == 0)
			r = add(search, &operator_functions, tokens.list[i], owner);
		if (r == 0 && owner && owner->beside_plain.count)
			r = add(search, &owner->beside_plain, tokens.list[i], owner);
	}
	return r;
}

static int add_family(struct search *search, const struct allocator_family *family)
{
	struct prefixes prefixes;
	size_t i;
	int r = 0;

	find_prefixes(search->object, family, &prefixes);
	for (i = 0; i < prefixes.count && r == 0; i++)
		if (family->functions.count && family->is_present(search->object, prefixes.list[i]))
			r = add(search, &family->functions, prefixes.list[i], family);
	return r;
}

static bool may_have_operators(const struct search *search)
{
	size_t i;

	for (i = 0; i < search->count; i++)
		if (!search->list[i].prefix[0])
			return true;
	return false;
}

int providers_find(const struct object *object, struct provider **ret, size_t *ret_count)
{
	const struct allocator_family *owner = plain_owner(object);
	struct search search = { .object = object };
	size_t i;
	int r = plain_is_present(object) ? add_plain(&search, owner) : 0;

	for (i = 0; i < allocator_family_count && r == 0; i++)
		if (!allocator_families[i]->are_aliases)
			r = add_family(&search, allocator_families[i]);
	/* operator new of an object that provides no memory itself is written over somebody's
	 * malloc (libstdc++'s is), and there is the place to count. */
	if (r == 0 && may_have_operators(&search))
		r = add(&search, &operator_functions, "", owner);
	for (i = 0; i < allocator_family_count && r == 0; i++)
		if (allocator_families[i]->are_aliases)
			r = add_family(&search, allocator_families[i]);
	if (r < 0) {
		free(search.list);
		return r;
	}
	*ret = search.list;
	*ret_count = search.count;
	return 0;
}

/* ---- what nobody has told us of ------------------------------------------------------------ */

static bool is_function_of(const struct function_list *functions, const char *name)
{
	size_t i;

	for (i = 0; i < functions->count; i++)
		if (!strcmp(functions->list[i].name, name))
			return true;
	return false;
}

static bool looks_like_one_of(const struct provider *provider, const char *name)
{
	size_t length = strlen(provider->prefix);

	if (strncmp(name, provider->prefix, length))
		return false;
	/* malloc, free and so on are of a family that may have functions under its own names, too
	 */
	if (!provider->has_own_names)
		return plain_looks_like(name + length);
	return family_looks_like(provider->family, name + length);
}

const struct provider *providers_unknown(const struct provider *providers, size_t count,
					 const char *name)
{
	const struct provider *found = NULL;
	size_t i, length;

	for (i = 0; i < count; i++) {
		length = strlen(providers[i].prefix);
		if (!strncmp(name, providers[i].prefix, length) &&
		    is_function_of(&providers[i].functions, name + length))
			return NULL;
		if (!found && looks_like_one_of(&providers[i], name))
			found = &providers[i];
	}
	return found;
}

/* ---- names -------------------------------------------------------------------------------- */

int provider_names_add(struct provider_names *names, const char *prefix, const char *name)
{
	char **grown;

	/* room for one more and the end */
	if ((names->count & (names->count + 1)) == 0) {
		grown = reallocarray(names->list, 2 * names->count + 2, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		names->list = grown;
	}
	names->list[names->count] = malloc(strlen(prefix) + strlen(name) + 1);
	if (!names->list[names->count])
		return -ENOMEM;
	strcpy(stpcpy(names->list[names->count], prefix), name);
	names->list[++names->count] = NULL;
	return 0;
}

void provider_names_deinit(struct provider_names *names)
{
	size_t i;

	for (i = 0; i < names->count; i++)
		free(names->list[i]);
	free(names->list);
	*names = (struct provider_names){ 0 };
}

static int add_functions(struct provider_names *names, const char *prefix,
			 const struct function_list *functions)
{
	size_t i;
	int r = 0;

	for (i = 0; i < functions->count && r == 0; i++)
		r = provider_names_add(names, prefix, functions->list[i].name);
	return r;
}

static int add_list(struct provider_names *names, const char *prefix, const char *const *list)
{
	int r = 0;

	for (; list && *list && r == 0; list++)
		r = provider_names_add(names, prefix, *list);
	return r;
}

static int add_patterns(struct provider_names *names, const char *prefix,
			const char *const *beginnings)
{
	char pattern[PROVIDER_PREFIX_BYTES];
	int r = 0;

	for (; beginnings && *beginnings && r == 0; beginnings++) {
		snprintf(pattern, sizeof(pattern), "%s*", *beginnings);
		r = provider_names_add(names, prefix, pattern);
	}
	return r;
}

static int add_names_of(struct provider_names *names, const struct allocator_family *family)
{
	size_t i;
	int r = add_functions(names, "", &family->beside_plain);

	if (r == 0)
		r = add_list(names, "", family->marks);
	if (r == 0)
		r = add_list(names, "*", family->anchors);
	if (r == 0)
		r = add_patterns(names, "", family->begins);
	for (i = 0; family->prefixes && family->prefixes[i] && r == 0; i++) {
		r = add_functions(names, family->prefixes[i], &family->functions);
		if (r == 0 && family->prefixes[i][0] && !family->begins)
			r = provider_names_add(names, family->prefixes[i], "*");
	}
	return r;
}

static int add_known_names(struct provider_names *names)
{
	size_t i;
	int r = add_functions(names, "", &plain_functions);

	if (r == 0)
		r = add_functions(names, "", &operator_functions);
	if (r == 0)
		r = add_list(names, "", plain_marks);
	if (r == 0)
		r = add_patterns(names, "", plain_beginnings);
	if (r == 0)
		r = provider_names_add(names, TOKEN, "*");
	for (i = 0; i < allocator_family_count && r == 0; i++)
		r = add_names_of(names, allocator_families[i]);
	return r;
}

static bool is_known_prefix(const struct allocator_family *family, const char *prefix)
{
	size_t i;

	for (i = 0; family->prefixes[i]; i++)
		if (!strcmp(family->prefixes[i], prefix))
			return true;
	return false;
}

static int add_names_with_prefixes(struct provider_names *names, const struct object *object,
				   const struct allocator_family *family)
{
	struct prefixes prefixes;
	size_t i;
	int r = 0;

	find_prefixes(object, family, &prefixes);
	for (i = 0; i < prefixes.count && r == 0; i++)
		if (!is_known_prefix(family, prefixes.list[i])) {
			r = add_functions(names, prefixes.list[i], &family->functions);
			if (r == 0)
				r = provider_names_add(names, prefixes.list[i], "*");
		}
	return r;
}

static int add_names_with_tokens(struct provider_names *names, const struct object *object)
{
	struct prefixes tokens;
	size_t i, k;
	int r = 0;

	find_tokens(object, &tokens);
	for (i = 0; i < tokens.count && r == 0; i++) {
		r = add_functions(names, tokens.list[i], &plain_functions);
		if (r == 0)
			r = add_functions(names, tokens.list[i], &operator_functions);
		for (k = 0; k < allocator_family_count && r == 0; k++)
			r = add_functions(names, tokens.list[i],
					  &allocator_families[k]->beside_plain);
	}
	return r;
}

/* Names for others to call that look like one of a provider's functions, and are in no table. */
static int add_unknown_names(struct provider_names *names, const struct object *object)
{
	_cleanup_free_ struct provider *providers = NULL;
	size_t i, count = 0;
	int r = providers_find(object, &providers, &count);

	for (i = 0; i < object->sighting_count && r == 0; i++)
		if (object->sightings[i].is_public &&
		    providers_unknown(providers, count, object->sightings[i].name))
			r = provider_names_add(names, "", object->sightings[i].name);
	return r;
}

int provider_names_new(const struct object *object, struct provider_names *ret)
{
	struct provider_names names = { 0 };
	size_t i;
	int r = object ? add_names_with_tokens(&names, object) : add_known_names(&names);

	for (i = 0; object && i < allocator_family_count && r == 0; i++)
		if (allocator_families[i]->anchors)
			r = add_names_with_prefixes(&names, object, allocator_families[i]);
	if (object && r == 0)
		r = add_unknown_names(&names, object);
	if (r < 0) {
		provider_names_deinit(&names);
		return r;
	}
	*ret = names;
	return 0;
}
