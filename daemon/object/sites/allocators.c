#include "allocators.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator_flow.h"
#include "bpf/dhat_abi.h"
#include "copiers.h"
#include "daemon/object/cfi/cfi.h"
#include "daemon/object/machine/machine.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "providers.h"

/* The C library's functions for memory without a file, by argument number (POSIX, mremap(2)). */
static const struct allocator_function mappers[] = {
	{ .name = "mmap", .role = DHAT_ROLE_MMAP, .arg = { 1, 3 } },
	{ .name = "munmap", .role = DHAT_ROLE_MUNMAP, .arg = { 0, 1 } },
	{ .name = "mremap", .role = DHAT_ROLE_MREMAP, .arg = { 0, 1, 2 } },
	{ .name = "sbrk", .role = DHAT_ROLE_SBRK, .arg = { 0 } },
};

DEFINE_CLEANUP_PTR(struct object *, object_free)

/* ---- descriptions ------------------------------------------------------------------------- */

/* Copies under unusual prefixes, and names that only the first answer makes known. */
#define MAX_ROUNDS 3

static int add_besides(struct provider_names *names, const char *const *besides)
{
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(mappers) && r == 0; i++)
		r = provider_names_add(names, "", mappers[i].name);
	for (i = 0; copiers_pattern(i) && r == 0; i++)
		r = provider_names_add(names, "", copiers_pattern(i));
	for (; besides && *besides && r == 0; besides++)
		r = provider_names_add(names, "", *besides);
	return r;
}

static bool is_asked_for(const struct provider_names *names, const char *name)
{
	size_t i;

	for (i = 0; i < names->count; i++)
		if (!strcmp(names->list[i], name))
			return true;
	return false;
}

/* Add what the description makes worth asking for; *ret_is_more: there was something. */
static int ask_for_more(const struct object *object, struct provider_names *names,
			bool *ret_is_more)
{
	_cleanup_(provider_names_deinit) struct provider_names more = { 0 };
	size_t i;
	int r = provider_names_new(object, &more);

	*ret_is_more = false;
	for (i = 0; i < more.count && r == 0; i++) {
		if (is_asked_for(names, more.list[i]))
			continue;
		r = provider_names_add(names, "", more.list[i]);
		*ret_is_more = true;
	}
	return r;
}

/* Of the functions that are asked for by address, where they begin. A file without unwind entries
 * has symbols, or nothing that tells. */
static int find_starts(int fd, struct object *object)
{
	_cleanup_free_ uint64_t *vaddrs = calloc(2 * object->symbol_count + 1, sizeof(*vaddrs));
	uint64_t *starts;
	size_t count = 0, i;

	if (!vaddrs)
		return -ENOMEM;
	starts = vaddrs + object->symbol_count;
	for (i = 0; i < object->symbol_count; i++) {
		if (object->symbols[i].name[0] != '+')
			continue;
		starts[count] = object->symbols[i].start_vaddr;
		vaddrs[count++] = object->symbols[i].vaddr;
	}
	if (count == 0 || cfi_find_starts(fd, vaddrs, count, starts) < 0)
		return 0;
	for (i = count = 0; i < object->symbol_count; i++)
		if (object->symbols[i].name[0] == '+')
			object->symbols[i].start_vaddr = starts[count++];
	return 0;
}

int allocators_describe(int fd, const char *const *besides, struct object **ret,
			struct dhat_error *err)
{
	_cleanup_(provider_names_deinit) struct provider_names names = { 0 };
	_cleanup_(object_free_ptr) struct object *object = NULL;
	bool is_more = true;
	int i, r = provider_names_new(NULL, &names);

	if (r == 0)
		r = add_besides(&names, besides);
	for (i = 0; i < MAX_ROUNDS && r == 0 && is_more; i++) {
		_cleanup_(object_free_ptr) struct object *before = take_ptr(object);

		r = object_describe(fd, (const char *const *)names.list, before, &object, err);
		if (r < 0)
			return r;
		r = ask_for_more(object, &names, &is_more);
	}
	if (r == 0)
		r = find_starts(fd, object);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot read an ELF file");
	copiers_look(object);
	*ret = take_ptr(object);
	return 0;
}

/* ---- what an allocator is called ---------------------------------------------------------- */

static void tell_name(const struct object *object, const char *path,
		      const struct allocator_family *family, char *ret, size_t size)
{
	if (family)
		family->tell_name(object, ret, size);
	else
		snprintf(ret, size, "malloc of %.50s", dhat_text_base_name(path ?: ""));
}

/* ---- sites -------------------------------------------------------------------------------- */

int allocators_place(const struct object *object, const struct object_symbol *symbol,
		     const struct allocator_function *function,
		     const struct allocator_options *options, struct allocator_site *ret)
{
	struct prologue_options place = { .may_fork = options->may_fork,
					  .may_execute = options->may_execute };
	struct allocator_site site = { .function = *function, .symbol = symbol };
	unsigned i, args = role_args(function->role);
	int r;

	if (role_returns(function->role) || function->awaits)
		site.returns = function->may_throw || options->use_exit_probes ? SITE_RETURNS_EXITS
									       : SITE_RETURNS_PROBE;
	place.for_return = site.returns == SITE_RETURNS_PROBE;
	for (i = 0; i < args; i++)
		place.arg_mask |= 1u << function->arg[i];
	r = prologue_choose(symbol->code, symbol->code_size, symbol->vaddr, &place, &site.place);
	if (r < 0)
		return r;
	for (i = 0; i < args; i++)
		site.arg_reg[i] = site.place.arg_reg[function->arg[i]];
	site.place_file_offset = symbol->file_offset + site.place.offset;
	if (site.returns == SITE_RETURNS_EXITS) {
		r = allocator_find_exits(object, symbol, &site.exits, &site.exit_count);
		if (r == -ENOTSUP)
			site.returns = SITE_RETURNS_UNKNOWN;
		else if (r < 0)
			return r;
	}
	*ret = site;
	return 0;
}

/* What cannot be followed: whether it is called at all is worth to know. */
static int place_to_count(const struct object *object, const struct object_symbol *symbol,
			  const struct allocator_options *options, const char *why,
			  struct allocator_site *ret)
{
	const struct allocator_function function = { .name = symbol->name,
						     .role = DHAT_ROLE_UNKNOWN };
	int r = allocators_place(object, symbol, &function, options, ret);

	if (r == 0)
		snprintf(ret->place.note, sizeof(ret->place.note), "calls are only counted: %s",
			 why);
	return r;
}

/* A function that cannot be probed stays in the list, so that a person learns of it. */
static int place_or_refuse(const struct object *object, const struct object_symbol *symbol,
			   const struct allocator_function *function,
			   const struct allocator_options *options, struct allocator_site *ret)
{
	const char *why = "an IFUNC: its code is chosen at run time";
	int r = -ENOTSUP;

	if (!symbol->is_ifunc) {
		r = allocators_place(object, symbol, function, options, ret);
		why = r == -EINVAL ? "its bytes are no code" : "no place in it is safe for a probe";
	}
	if (r == 0 && ret->returns == SITE_RETURNS_UNKNOWN)
		return place_to_count(
			object, symbol, options,
			"a return probe may harm, and its ways out cannot all be known", ret);
	if (r == 0 && function->role == DHAT_ROLE_UNKNOWN)
		snprintf(ret->place.note, sizeof(ret->place.note),
			 "calls are only counted: what it does with blocks cannot be followed");
	if (r == 0 || r == -ENOMEM)
		return r;
	*ret = (struct allocator_site){
		.function = *function,
		.symbol = symbol,
		.place_file_offset = symbol->file_offset,
		.is_refused = true,
	};
	snprintf(ret->place.note, sizeof(ret->place.note), "not probed: %s", why);
	return 0;
}

/* A place in the providers' tables: the order decides which of an address's names counts. */
struct entry {
	const struct provider *provider;
	const struct allocator_function *function; /* NULL: not found */
};

static struct entry find_entry(const struct provider *providers, size_t count, const char *name)
{
	size_t i, k, length;

	for (i = 0; i < count; i++) {
		length = strlen(providers[i].prefix);
		if (strncmp(name, providers[i].prefix, length))
			continue;
		for (k = 0; k < providers[i].functions.count; k++)
			if (!strcmp(providers[i].functions.list[k].name, name + length))
				return (struct entry){ &providers[i],
						       &providers[i].functions.list[k] };
	}
	return (struct entry){ 0 };
}

/* Of a newer version than ours. It comes after all that are known. */
static struct entry unknown_entry(const struct provider *providers, size_t count, const char *name)
{
	static const struct allocator_function unknown = { .role = DHAT_ROLE_UNKNOWN };
	const struct provider *provider = providers_unknown(providers, count, name);

	return (struct entry){ provider, provider ? &unknown : NULL };
}

static bool comes_first(struct entry a, struct entry b)
{
	bool a_is_known = a.function->role != DHAT_ROLE_UNKNOWN,
	     b_is_known = b.function->role != DHAT_ROLE_UNKNOWN;

	if (a_is_known != b_is_known)
		return a_is_known;
	return a.provider != b.provider ? a.provider < b.provider : a.function < b.function;
}

/* Of several names at one address the one that comes first in the tables. */
static bool is_alias(const struct object *object, const struct provider *providers, size_t count,
		     const struct object_symbol *symbol, struct entry entry)
{
	struct entry other;
	size_t i;

	for (i = 0; i < object->symbol_count; i++) {
		if (&object->symbols[i] == symbol || object->symbols[i].vaddr != symbol->vaddr)
			continue;
		other = find_entry(providers, count, object->symbols[i].name);
		if (!other.function)
			other = unknown_entry(providers, count, object->symbols[i].name);
		if (!other.function)
			continue;
		if (comes_first(other, entry) ||
		    (!comes_first(entry, other) && &object->symbols[i] < symbol))
			return true;
	}
	return false;
}

/* A function that only jumps on to another probed one needs no probe: the other sees the same
 * caller and the same block. With two probes a free would count twice. */
static size_t drop_forwarders(const struct object *object, struct allocator_site *sites,
			      size_t count)
{
	_cleanup_free_ bool *is_forwarder = calloc(count + 1, sizeof(*is_forwarder));
	size_t i, kept = 0;

	if (!is_forwarder)
		return count;
	for (i = 0; i < count; i++)
		is_forwarder[i] = allocator_forwards(object, sites, count, &sites[i]);
	for (i = 0; i < count; i++) {
		if (is_forwarder[i])
			free(sites[i].exits);
		else
			sites[kept++] = sites[i];
	}
	return kept;
}

static bool hands_out_on_its_own(const struct object *object, const struct allocator_site *sites,
				 size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (sites[i].is_operator && sites[i].function.role != DHAT_ROLE_FREE &&
		    !allocator_is_over(object, sites, count, &sites[i]))
			return true;
	return false;
}

/* The C++ operators of a static program are libstdc++'s, written over malloc: counted there, with
 * what they ask for, as in a dynamic program, and at one trap less. */
static size_t drop_operators(const struct object *object, struct allocator_site *sites,
			     size_t count)
{
	size_t i, kept = 0;

	if (hands_out_on_its_own(object, sites, count))
		return count;
	for (i = 0; i < count; i++) {
		if (sites[i].is_operator)
			free(sites[i].exits);
		else
			sites[kept++] = sites[i];
	}
	return kept;
}

/* A function that only hands on what others do is followed in those. */
static size_t drop_followed(const struct object *object, struct allocator_site *sites, size_t count)
{
	size_t i, kept = 0;

	for (i = 0; i < count; i++)
		if (sites[i].function.role != DHAT_ROLE_UNKNOWN ||
		    !allocator_is_over(object, sites, count, &sites[i]))
			sites[kept++] = sites[i];
	return kept;
}

/* A free that calls another one is told by a return probe to be the outer one. If it cannot have
 * one, the inner free counts as one of an unknown block. */
static int await_inner_frees(const struct object *object, struct allocator_site *sites,
			     size_t count, const struct allocator_options *options)
{
	size_t i;

	for (i = 0; i < count; i++) {
		struct allocator_site *site = &sites[i], awaiting = *site;
		int r;

		if (site->function.role != DHAT_ROLE_FREE || site->is_refused ||
		    !allocator_calls_free(object, sites, count, site))
			continue;
		awaiting.function.awaits = true;
		r = allocators_place(object, site->symbol, &awaiting.function, options, &awaiting);
		if (r == -ENOMEM)
			return r;
		if (r < 0 || awaiting.returns == SITE_RETURNS_UNKNOWN)
			continue;
		awaiting.family = site->family;
		awaiting.is_operator = site->is_operator;
		memcpy(awaiting.allocator, site->allocator, sizeof(awaiting.allocator));
		*site = awaiting;
	}
	return 0;
}

/* Others may share code that a function jumps to, and would pay for its exits. A jump out of it is
 * emulated by the kernel. */
#define MAX_PREFERRED_EXITS 24 /* each is a link */
static bool are_exits_cheap(const struct allocator_site *site)
{
	if (site->exit_count > MAX_PREFERRED_EXITS)
		return false;
	for (size_t i = 0; i < site->exit_count; i++) {
		const struct site_exit *exit = &site->exits[i];

		if (exit->file_offset < site->symbol->file_offset ||
		    exit->file_offset - site->symbol->file_offset >= site->symbol->code_size ||
		    (!exit->by_us.operation && exit->result_reg == this_machine.result_register))
			return false;
	}
	return true;
}

static int prefer_exits(const struct object *object, const struct allocator_options *options,
			struct allocator_site *site)
{
	struct allocator_site exiting = { 0 };
	int r = allocators_place(object, site->symbol, &site->function, options, &exiting);

	if (r < 0)
		return r == -ENOMEM ? r : 0;
	if (exiting.returns != SITE_RETURNS_EXITS || !are_exits_cheap(&exiting)) {
		free(exiting.exits);
		return 0;
	}
	site->returns = exiting.returns;
	site->exits = exiting.exits;
	site->exit_count = exiting.exit_count;
	return 0;
}

int allocators_prefer_exits(const struct object *object, const struct allocator_options *options,
			    struct allocator_site *sites, size_t count)
{
	struct allocator_options exits = *options;
	int r = 0;

	exits.use_exit_probes = true;
	for (size_t i = 0; i < count && options->may_execute && r == 0; i++)
		if (sites[i].returns == SITE_RETURNS_PROBE && !sites[i].is_refused)
			r = prefer_exits(object, &exits, &sites[i]);
	return r;
}

static int compare_sites(const void *a, const void *b)
{
	const struct allocator_site *x = a, *y = b;

	return x->place_file_offset < y->place_file_offset   ? -1
	       : x->place_file_offset > y->place_file_offset ? 1
							     : 0;
}

static int find_sites(const struct object *object, const char *path,
		      const struct provider *providers, size_t provider_count,
		      const struct allocator_options *options, struct allocator_site *sites,
		      size_t *ret_count)
{
	size_t i;
	int r;

	for (i = 0; i < object->symbol_count; i++) {
		const struct object_symbol *symbol = &object->symbols[i];
		struct entry entry = find_entry(providers, provider_count, symbol->name);
		struct allocator_site *site = &sites[*ret_count];
		struct allocator_function function;
		bool is_unknown;

		if (!entry.function)
			entry = unknown_entry(providers, provider_count, symbol->name);
		if (!entry.function || is_alias(object, providers, provider_count, symbol, entry))
			continue;
		is_unknown = !entry.function->name;
		function = *entry.function;
		function.name = symbol->name;
		r = place_or_refuse(object, symbol, &function, options, site);
		if (r < 0)
			return r;
		site->is_operator = entry.provider->are_operators;
		site->is_unknown = is_unknown;
		site->family = entry.provider->family;
		tell_name(object, path, entry.provider->family, site->allocator,
			  sizeof(site->allocator));
		(*ret_count)++;
	}
	return 0;
}

int allocators_find(const struct object *object, const char *path,
		    const struct allocator_options *options, struct allocator_site **ret,
		    size_t *ret_count)
{
	_cleanup_free_ struct provider *providers = NULL;
	struct allocator_site *sites = NULL;
	size_t provider_count = 0, count = 0;
	int r = providers_find(object, &providers, &provider_count);

	if (r < 0)
		return r;
	sites = calloc(object->symbol_count + 1, sizeof(*sites));
	if (!sites)
		return -ENOMEM;
	r = find_sites(object, path, providers, provider_count, options, sites, &count);
	if (r == 0)
		r = await_inner_frees(object, sites, count, options);
	if (r < 0) {
		allocators_sites_free(sites, count);
		return r;
	}
	count = drop_operators(object, sites, count);
	count = drop_followed(object, sites, count);
	count = drop_forwarders(object, sites, count);
	qsort(sites, count, sizeof(*sites), compare_sites);
	*ret = sites;
	*ret_count = count;
	return 0;
}

int allocators_find_mappers(const struct object *object, const struct allocator_options *options,
			    struct allocator_site **ret, size_t *ret_count)
{
	struct allocator_site *sites = calloc(ARRAY_SIZE(mappers), sizeof(*sites));
	size_t count = 0;

	if (!sites)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(mappers) && family_has(object, "", plain_marks[0]); i++) {
		const struct object_symbol *symbol = family_symbol(object, "", mappers[i].name);
		int r;

		if (!symbol)
			continue;
		r = place_or_refuse(object, symbol, &mappers[i], options, &sites[count]);
		if (r < 0) {
			allocators_sites_free(sites, count);
			return r;
		}
		snprintf(sites[count].allocator, sizeof(sites[count].allocator),
			 "anonymous memory");
		count++;
	}
	qsort(sites, count, sizeof(*sites), compare_sites);
	*ret = sites;
	*ret_count = count;
	return 0;
}

void allocators_sites_free(struct allocator_site *sites, size_t count)
{
	size_t i;

	for (i = 0; sites && i < count; i++) {
		free(sites[i].exits);
		free(sites[i].results.list);
	}
	free(sites);
}
