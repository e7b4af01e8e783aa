#include "custom_sites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct object_symbol *find_symbol(const struct object *object, const char *name)
{
	for (size_t i = 0; i < object->symbol_count; i++)
		if (!strcmp(object->symbols[i].name, name))
			return &object->symbols[i];
	return NULL;
}

/* P1: a breakpoint inside an instruction is none, and the instruction is another one from then on:
 * the program would die of it. */
static int check_start(const struct custom *custom, const struct object_symbol *symbol,
		       const char *path, struct dhat_error *err)
{
	if (symbol->name[0] != '+' || symbol->start_vaddr == symbol->vaddr)
		return 0;
	if (symbol->start_vaddr)
		return dhat_error_set(err, ENOENT, DHAT_EXIT_USAGE,
				      "'%s' is in the middle of the function that begins at "
				      "+0x%llx of %s: a probe inside an instruction would end the "
				      "program, so name where the function begins",
				      custom->text, (unsigned long long)symbol->start_vaddr, path);
	return dhat_error_set(
		err, ENOENT, DHAT_EXIT_USAGE,
		"nothing tells that a function begins at '%s', which '%s' names: %s has "
		"neither a symbol nor an unwind entry (FDE) for that address, and a probe "
		"inside an instruction would end the program",
		custom->symbol, custom->text, path);
}

static int place(const struct custom *custom, const struct object *object, const char *path,
		 const struct allocator_options *options, struct allocator_site *ret,
		 struct dhat_error *err)
{
	const struct object_symbol *symbol = find_symbol(object, custom->symbol);
	int r;

	if (!symbol)
		return dhat_error_set(
			err, ENOENT, DHAT_EXIT_USAGE,
			"%s has no code at '%s', which '%s' names; nm shows what it has", path,
			custom->symbol, custom->text);
	r = check_start(custom, symbol, path, err);
	if (r)
		return r;
	r = allocators_place(object, symbol, &custom->function, options, ret);
	if (r == -ENOMEM)
		return r;
	if (r)
		return dhat_error_set(err, ENOTSUP, DHAT_EXIT_UNSUITABLE,
				      "no probe can be placed at '%s': %s", custom->text,
				      r == -EINVAL ? "its bytes are no code"
						   : "no place in the function is safe");
	if (ret->returns == SITE_RETURNS_UNKNOWN)
		return dhat_error_set(err, ENOTSUP, DHAT_EXIT_UNSUITABLE,
				      "the returns of '%s' cannot be seen safely: it leaves by a "
				      "jump that cannot be followed",
				      custom->text);
	snprintf(ret->allocator, sizeof(ret->allocator), "custom");
	return 0;
}

static int compare_sites(const void *a, const void *b)
{
	const struct allocator_site *x = a, *y = b;

	return x->place_file_offset < y->place_file_offset   ? -1
	       : x->place_file_offset > y->place_file_offset ? 1
							     : 0;
}

int customs_find(const struct customs *customs, const struct object *object, const char *path,
		 const struct allocator_options *options, struct allocator_site **ret,
		 size_t *ret_count, struct dhat_error *err)
{
	struct allocator_site *sites = calloc(customs->count + 1, sizeof(*sites));
	size_t count = 0;
	int r;

	if (!sites)
		return -ENOMEM;
	for (size_t i = 0; i < customs->count; i++) {
		if (!custom_is_in(&customs->list[i], path))
			continue;
		r = place(&customs->list[i], object, path, options, &sites[count], err);
		if (r) {
			allocators_sites_free(sites, count);
			return r;
		}
		count++;
	}
	qsort(sites, count, sizeof(*sites), compare_sites);
	*ret = sites;
	*ret_count = count;
	return 0;
}
