#include "hidden.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/text.h"

#define LISTED 6 /* addresses: as many as Rust uses of jemalloc */

const char *hidden_name(const struct object_desc *desc, unsigned maker)
{
	const char *name = object_maker_name(maker);

	return !strncmp(desc->malloc_version, name, strlen(name)) ? desc->malloc_version : name;
}

/* CPython: Objects/obmalloc.c; PHP: Zend/zend_alloc.c; Erlang: erts_alloc(3). */
static const struct {
	const char *setting, *blocks, *mappings, *started;
} runtimes[OBJECT_MAKER_COUNT] = {
	[OBJECT_MAKER_CPYTHON] = { "PYTHONMALLOC=malloc", "objects of up to 512 bytes", "arenas",
				   "with PYTHONMALLOC=malloc" },
	[OBJECT_MAKER_PHP] = { "USE_ZEND_ALLOC=0", "what scripts allocate", "chunks",
			       "with USE_ZEND_ALLOC=0" },
	[OBJECT_MAKER_ERLANG] = { NULL, "most of its terms", "carriers", "by `erl +Mea min'" },
};

const char *hidden_setting(unsigned maker)
{
	return maker < OBJECT_MAKER_COUNT ? runtimes[maker].setting : NULL;
}

static void describe_runtime(const char *file, unsigned maker, char *ret, size_t size)
{
	snprintf(ret, size,
		 "%s in %.100s keeps %s in %s that it maps for itself, and that is not counted; in "
		 "a process started %s it is (--anonymous records the %s)",
		 object_maker_name(maker), file, runtimes[maker].blocks, runtimes[maker].mappings,
		 runtimes[maker].started, runtimes[maker].mappings);
}

void hidden_key(const char *path, unsigned maker, char *ret, size_t size)
{
	snprintf(ret, size, "hidden %s in %s", object_maker_name(maker), path);
}

/* "+0x5b91530, +0x5b8d560 and 4 more" */
static void list_addresses(const uint64_t *addresses, size_t count, char *ret, size_t size)
{
	size_t shown = count > LISTED + 1 ? LISTED : count, used = 0;

	*ret = '\0';
	for (size_t i = 0; i < shown && used < size; i++)
		used += snprintf(ret + used, size - used, "%s+0x%" PRIx64, i ? ", " : "",
				 addresses[i]);
	if (shown < count && used < size)
		snprintf(ret + used, size - used, " and %zu more", count - shown);
}

void hidden_describe(const struct object_desc *desc, const char *path, unsigned maker, char *ret,
		     size_t size)
{
	const char *file = dhat_text_base_name(path);
	uint64_t entries[OBJECT_MAX_ENTRIES] = { 0 };
	char list[160];
	size_t count = 0;

	if (object_maker_is_runtime(maker)) {
		describe_runtime(file, maker, ret, size);
		return;
	}
	for (size_t i = 0; i < desc->entry_count; i++)
		if (desc->entries[i].maker == maker)
			entries[count++] = desc->entries[i].vaddr;
	list_addresses(entries, count, list, sizeof(list));
	snprintf(ret, size,
		 "what %.40s in %.100s hands out is not counted: its texts are there, and %s%s%s; "
		 "--alloc '%.60s+0xADDRESS(size=arg1)', --realloc and --free '%.60s+0xADDRESS"
		 "(ptr=arg1)' name all its functions",
		 hidden_name(desc, maker), file,
		 desc->has_symtab ? "none of the functions known of it" : "it has no symbols",
		 count ? ", and what its code does shows only in use; it "
			 "is entered, most often first, at "
		       : "",
		 list, file, file);
}
