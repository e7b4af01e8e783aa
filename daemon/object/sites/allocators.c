#include "allocators.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator_flow.h"
#include "allocator_table.h"
#include "bpf/dhat_abi.h"
#include "proto/base/cleanup.h"

#define MAX_NAMES 256

/* The C library's functions for memory without a file, by argument number (POSIX, mremap(2)). */
static const struct allocator_function mappers[] = {
	{ .name = "mmap", .role = DHAT_ROLE_MMAP, .arg = { 1, 3 } },
	{ .name = "munmap", .role = DHAT_ROLE_MUNMAP, .arg = { 0, 1 } },
	{ .name = "mremap", .role = DHAT_ROLE_MREMAP, .arg = { 0, 1, 2 } },
	{ .name = "sbrk", .role = DHAT_ROLE_SBRK, .arg = { 0 } },
};

/* Whoever starts programs is the C library, or a program that was linked with it statically. */
#define LIBC_MARK "__libc_start_main"

static const char *names[MAX_NAMES + 1];

static void collect_names(void)
{
	size_t i, n = 0;

	assert(allocator_table_count + allocator_mark_count + ARRAY_SIZE(mappers) + 1 <= MAX_NAMES);
	for (i = 0; i < allocator_table_count; i++)
		names[n++] = allocator_table[i].function.name;
	for (i = 0; i < allocator_mark_count; i++)
		names[n++] = allocator_marks[i];
	for (i = 0; i < ARRAY_SIZE(mappers); i++)
		names[n++] = mappers[i].name;
	names[n++] = LIBC_MARK;
}

const char *const *allocators_symbol_names(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, collect_names);
	return names;
}

/* ---- roles -------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint8_t args;
	bool returns;
} roles[DHAT_ROLE_COUNT] = {
	[DHAT_ROLE_MALLOC] = { "malloc", 1, true },
	[DHAT_ROLE_CALLOC] = { "calloc", 2, true },
	[DHAT_ROLE_REALLOC] = { "realloc", 2, true },
	[DHAT_ROLE_REALLOCARRAY] = { "reallocarray", 3, true },
	[DHAT_ROLE_FREE] = { "free", 1, false },
	[DHAT_ROLE_POSIX_MEMALIGN] = { "posix_memalign", 3, true },
	[DHAT_ROLE_MEMALIGN] = { "memalign", 2, true },
	[DHAT_ROLE_PVALLOC] = { "pvalloc", 1, true },
	[DHAT_ROLE_RESIZE] = { "resize in place", 2, true },
	[DHAT_ROLE_MMAP] = { "mmap", 2, true },
	[DHAT_ROLE_MUNMAP] = { "munmap", 2, false },
	[DHAT_ROLE_MREMAP] = { "mremap", 3, true },
	[DHAT_ROLE_SBRK] = { "sbrk", 1, true },
};

unsigned allocators_role_args(uint8_t role)
{
	return role < DHAT_ROLE_COUNT ? roles[role].args : 0;
}

const char *allocators_role_name(uint8_t role)
{
	return role < DHAT_ROLE_COUNT && roles[role].name ? roles[role].name : "unknown";
}

bool allocators_role_returns(uint8_t role)
{
	return role < DHAT_ROLE_COUNT && roles[role].returns;
}

/* ---- which families an object has --------------------------------------------------------- */

static const struct object_symbol *find_symbol(const struct object_desc *desc, const char *name)
{
	size_t i;

	for (i = 0; i < desc->symbol_count; i++)
		if (!strcmp(desc->symbols[i].name, name))
			return &desc->symbols[i];
	return NULL;
}

static bool has(const struct object_desc *desc, const char *name)
{
	return find_symbol(desc, name);
}

static bool exports(const struct object_desc *desc, const char *name)
{
	size_t i;

	for (i = 0; i < desc->symbol_count; i++)
		if (desc->symbols[i].is_exported && !strcmp(desc->symbols[i].name, name))
			return true;
	return false;
}

/* glibc's dynamic linker has a malloc for its own start-up, which libc's replaces soon; counting
 * it would pair its blocks with frees that never come. */
static bool is_glibc_loader(const struct object_desc *desc)
{
	return !strncmp(desc->soname, "ld-linux", 8) || !strncmp(desc->soname, "ld64", 4);
}

static bool is_sanitizer(const struct object_desc *desc)
{
	return has(desc, "__asan_init") || has(desc, "__tsan_init") || has(desc, "__msan_init") ||
	       has(desc, "__hwasan_init") || has(desc, "__lsan_init");
}

static bool has_plain(const struct object_desc *desc)
{
	if (is_glibc_loader(desc))
		return false;
	if (exports(desc, "malloc") && exports(desc, "free"))
		return true;
	/* Not exported: a static program, or an allocator linked in privately. A lone function that
	 * happens to be called "free" is neither. Of musl only what is used is linked in. */
	if (has(desc, "__libc_malloc") && has(desc, "__libc_free"))
		return true;
	return (has(desc, "malloc") || has(desc, "__libc_malloc")) &&
	       (has(desc, "free") || has(desc, "__libc_free")) &&
	       (has(desc, "realloc") || has(desc, "__libc_realloc") || has(desc, "calloc") ||
		has(desc, "__libc_calloc"));
}

/* Prefixed families need several names at once: one function called mi_free is no mimalloc. */
static void find_families(const struct object_desc *desc, bool found[FAMILY_COUNT])
{
	found[FAMILY_PLAIN] = has_plain(desc);
	found[FAMILY_JEMALLOC] = has(desc, "mallocx") && has(desc, "sdallocx") &&
				 (has(desc, "rallocx") || has(desc, "dallocx"));
	found[FAMILY_JE] = has(desc, "je_malloc") && has(desc, "je_free") &&
			   (has(desc, "je_realloc") || has(desc, "je_calloc"));
	found[FAMILY_RJEM] = (has(desc, "_rjem_malloc") || has(desc, "_rjem_mallocx")) &&
			     (has(desc, "_rjem_free") || has(desc, "_rjem_sdallocx") ||
			      has(desc, "_rjem_dallocx"));
	found[FAMILY_GPERFTOOLS] = has(desc, "tc_malloc") && has(desc, "tc_free") &&
				   (has(desc, "tc_new") || has(desc, "tc_realloc"));
	found[FAMILY_MIMALLOC] =
		has(desc, "mi_malloc") && has(desc, "mi_free") &&
		(has(desc, "mi_heap_malloc") || has(desc, "mi_version") || has(desc, "mi_realloc"));
	/* operator new is normally written over malloc (libstdc++, libc++, a program's own), and
	 * then malloc is the place to count. These have it on their own. */
	found[FAMILY_OPERATORS] = found[FAMILY_JEMALLOC] || found[FAMILY_GPERFTOOLS] ||
				  found[FAMILY_MIMALLOC] || is_sanitizer(desc);
}

/* ---- what an allocator is called ---------------------------------------------------------- */

/* int mi_version(void) { return 209; } is "mov $209, %eax": MMmp, one digit for each of the last
 * two parts (mimalloc.h, MI_MALLOC_VERSION). */
static bool mimalloc_version(const struct object_desc *desc, uint32_t *ret)
{
	const struct object_symbol *s = find_symbol(desc, "mi_version");
	size_t at = 0;

	if (!s)
		return false;
	if (s->code_size >= 4 && !memcmp(s->code, "\xf3\x0f\x1e\xfa", 4))
		at = 4; /* endbr64 */
	if (s->code_size < at + 5 || s->code[at] != 0xb8)
		return false;
	memcpy(ret, s->code + at + 1, 4);
	return *ret < 10000;
}

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path ? path : "";
}

static void name_mimalloc(const struct object_desc *desc, char *ret, size_t size)
{
	uint32_t v;

	if (mimalloc_version(desc, &v))
		snprintf(ret, size, "mimalloc %u.%u.%u", v / 100, v / 10 % 10, v % 10);
	else
		snprintf(ret, size, "mimalloc");
}

static void name_jemalloc(const struct object_desc *desc, char *ret, size_t size)
{
	bool is_told = !strncmp(desc->malloc_version, "jemalloc ", 9);

	snprintf(ret, size, "%s", is_told ? desc->malloc_version : "jemalloc");
}

static void name_gperftools(const struct object_desc *desc, char *ret, size_t size)
{
	bool is_told = !strncmp(desc->malloc_version, "gperftools ", 11);

	snprintf(ret, size, "tcmalloc (%.40s)", is_told ? desc->malloc_version : "gperftools");
}

/* Who provides malloc, free, operator new and so on under their plain names. */
static void name_plain(const struct object_desc *desc, const char *path,
		       const bool found[FAMILY_COUNT], char *ret, size_t size)
{
	bool is_libc = !strncmp(desc->soname, "libc.so", 7) || desc->is_static;

	if (found[FAMILY_MIMALLOC])
		name_mimalloc(desc, ret, size);
	else if (found[FAMILY_GPERFTOOLS])
		name_gperftools(desc, ret, size);
	else if (found[FAMILY_JEMALLOC])
		name_jemalloc(desc, ret, size);
	else if (is_sanitizer(desc))
		snprintf(ret, size, "sanitizer");
	else if (has(desc, "__libc_malloc_impl") || has(desc, "__bin_chunk") ||
		 !strncmp(desc->libc_version, "musl", 4))
		snprintf(ret, size, "%s", desc->libc_version[0] ? desc->libc_version : "musl");
	else if (is_libc && !strncmp(desc->libc_version, "glibc", 5))
		snprintf(ret, size, "%s", desc->libc_version);
	else if (has(desc, "__libc_malloc") && is_libc)
		snprintf(ret, size, "glibc");
	else
		snprintf(ret, size, "malloc of %.50s", base_name(path));
}

static void name_family(const struct object_desc *desc, const char *path,
			const bool found[FAMILY_COUNT], uint8_t family, char *ret, size_t size)
{
	switch (family) {
	case FAMILY_JEMALLOC:
	case FAMILY_JE:
	case FAMILY_RJEM:
		name_jemalloc(desc, ret, size);
		break;
	case FAMILY_GPERFTOOLS:
		name_gperftools(desc, ret, size);
		break;
	case FAMILY_MIMALLOC:
		name_mimalloc(desc, ret, size);
		break;
	default:
		name_plain(desc, path, found, ret, size);
	}
}

/* ---- sites -------------------------------------------------------------------------------- */

int allocators_place(const struct object_desc *desc, const struct object_symbol *symbol,
		     const struct allocator_function *function, bool may_fork, bool use_exit_probes,
		     struct allocator_site *ret)
{
	struct prologue_options options = { .may_fork = may_fork };
	struct allocator_site site = { .function = *function, .symbol = symbol };
	unsigned i, args = allocators_role_args(function->role);
	int r;

	if (allocators_role_returns(function->role))
		site.returns = function->may_throw || use_exit_probes ? ALLOCATOR_RETURNS_EXITS
								      : ALLOCATOR_RETURNS_PROBE;
	options.for_return = site.returns == ALLOCATOR_RETURNS_PROBE;
	for (i = 0; i < args; i++)
		options.arg_mask |= 1u << function->arg[i];
	r = prologue_choose(symbol->code, symbol->code_size, symbol->vaddr, &options, &site.place);
	if (r < 0)
		return r;
	for (i = 0; i < args; i++)
		site.arg_reg[i] = site.place.arg_reg[function->arg[i]];
	site.place_file_offset = symbol->file_offset + site.place.offset;
	if (site.returns == ALLOCATOR_RETURNS_EXITS) {
		r = allocator_find_exits(desc, symbol, &site.exits, &site.exit_count);
		if (r == -ENOTSUP)
			site.returns = ALLOCATOR_RETURNS_UNKNOWN;
		else if (r < 0)
			return r;
	}
	*ret = site;
	return 0;
}

/* A function that cannot be probed stays in the list, so that a person learns of it. */
static int place_or_refuse(const struct object_desc *desc, const struct object_symbol *symbol,
			   const struct allocator_function *function, bool may_fork,
			   bool use_exit_probes, struct allocator_site *ret)
{
	const char *why = "an IFUNC: its code is chosen at run time";
	int r = -ENOTSUP;

	if (!symbol->is_ifunc) {
		r = allocators_place(desc, symbol, function, may_fork, use_exit_probes, ret);
		why = r == -EINVAL ? "its bytes are no code" : "no place in it is safe for a probe";
	}
	if (r == 0 && ret->returns == ALLOCATOR_RETURNS_UNKNOWN) {
		r = -ENOTSUP;
		why = "a return probe may harm, and its ways out cannot all be known";
	}
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

static const struct allocator_entry *find_entry(const char *name)
{
	size_t i;

	for (i = 0; i < allocator_table_count; i++)
		if (!strcmp(allocator_table[i].function.name, name))
			return &allocator_table[i];
	return NULL;
}

/* Of several names at one address the one that comes first in the table. */
static bool is_alias(const struct object_desc *desc, const bool found[FAMILY_COUNT],
		     const struct object_symbol *symbol, const struct allocator_entry *entry)
{
	const struct allocator_entry *other;
	size_t i;

	for (i = 0; i < desc->symbol_count; i++) {
		if (&desc->symbols[i] == symbol || desc->symbols[i].vaddr != symbol->vaddr)
			continue;
		other = find_entry(desc->symbols[i].name);
		if (other && found[other->family] && other < entry)
			return true;
	}
	return false;
}

/* mimalloc's cfree() asks whether the block is its own and then calls mi_free(). */
static bool is_known_wrapper(const bool found[FAMILY_COUNT], const char *name)
{
	return found[FAMILY_MIMALLOC] && !strcmp(name, "cfree");
}

/* A function that only jumps on to another probed one needs no probe: the other sees the same
 * caller and the same block. With two probes a free would count twice. */
static size_t drop_forwarders(const struct object_desc *desc, struct allocator_site *sites,
			      size_t count)
{
	_cleanup_free_ bool *is_forwarder = calloc(count + 1, sizeof(*is_forwarder));
	size_t i, kept = 0;

	if (!is_forwarder)
		return count;
	for (i = 0; i < count; i++)
		is_forwarder[i] = allocator_forwards(desc, sites, count, &sites[i]);
	for (i = 0; i < count; i++) {
		if (is_forwarder[i])
			free(sites[i].exits);
		else
			sites[kept++] = sites[i];
	}
	return kept;
}

static int compare_sites(const void *a, const void *b)
{
	const struct allocator_site *x = a, *y = b;

	return x->place_file_offset < y->place_file_offset   ? -1
	       : x->place_file_offset > y->place_file_offset ? 1
							     : 0;
}

int allocators_find(const struct object_desc *desc, const char *path, bool may_fork,
		    bool use_exit_probes, struct allocator_site **ret, size_t *ret_count)
{
	bool found[FAMILY_COUNT] = { false };
	const struct allocator_entry *entry;
	struct allocator_site *sites;
	size_t i, count = 0;
	int r;

	sites = calloc(desc->symbol_count + 1, sizeof(*sites));
	if (!sites)
		return -ENOMEM;
	find_families(desc, found);
	for (i = 0; i < desc->symbol_count; i++) {
		const struct object_symbol *symbol = &desc->symbols[i];

		entry = find_entry(symbol->name);
		if (!entry || !found[entry->family] || is_alias(desc, found, symbol, entry) ||
		    is_known_wrapper(found, symbol->name))
			continue;
		r = place_or_refuse(desc, symbol, &entry->function, may_fork, use_exit_probes,
				    &sites[count]);
		if (r < 0) {
			allocators_sites_free(sites, count);
			return r;
		}
		name_family(desc, path, found, entry->family, sites[count].allocator,
			    sizeof(sites[count].allocator));
		count++;
	}
	count = drop_forwarders(desc, sites, count);
	qsort(sites, count, sizeof(*sites), compare_sites);
	*ret = sites;
	*ret_count = count;
	return 0;
}

int allocators_find_mappers(const struct object_desc *desc, bool may_fork, bool use_exit_probes,
			    struct allocator_site **ret, size_t *ret_count)
{
	struct allocator_site *sites = calloc(ARRAY_SIZE(mappers), sizeof(*sites));
	size_t count = 0;

	if (!sites)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(mappers) && has(desc, LIBC_MARK); i++) {
		const struct object_symbol *symbol = find_symbol(desc, mappers[i].name);
		int r;

		if (!symbol)
			continue;
		r = place_or_refuse(desc, symbol, &mappers[i], may_fork, use_exit_probes,
				    &sites[count]);
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

	for (i = 0; sites && i < count; i++)
		free(sites[i].exits);
	free(sites);
}
