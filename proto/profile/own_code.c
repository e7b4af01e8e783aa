#include "own_code.h"

#include <string.h>
#include <strings.h>

#include "proto/base/cleanup.h"
#include "trim.h"

/* The beginnings of file names; what follows is no letter: "libc.so.6", "libc-2.31.so". */
static const char *const runtime_files[] = {
	"libc",	       "ld-linux",    "ld-musl",	 "libpthread",	"libm",
	"libdl",       "libstdc++",   "libc++",		 "libc++abi",	"libgcc_s",
	"libsupc++",   "libunwind",   "libjemalloc",	 "libtcmalloc", "libtcmalloc_minimal",
	"libmimalloc", "librpmalloc", "libsnmallocshim", "libasan",	"libstd",
	"[vdso]",
};

/* Programs wrap malloc in functions, and call them after it: zmalloc(), sqlite3DbMallocRaw(),
 * ngx_pcalloc(), apr_pstrdup(). Who called them wanted the memory. A name that ends in one of these
 * … */
static const char *const malloc_words[] = {
	"malloc",	"calloc", "realloc", "zalloc", "palloc",   "valloc",
	"reallocarray", "strdup", "strndup", "memdup", "memalign",
};

/* … but for what tells only how; a longer one stands before its end. */
static const char *const malloc_manners[] = {
	"_usable", "_internal", "_aligned", "aligned",	 "_array",   "array",  "_zero",
	"zero",	   "_raw",	"raw",	    "_large",	 "_small",   "_block", "_huge",
	"_safe",   "_impl",	"_nofail",  "_extended", "extended", "rawnn",  "loc",
	"_n",	   "_s",	"_f",	    "_",	 "z",
};

/* Those that are called otherwise: of postgres, nginx, apr, glib, sqlite, and others. */
static const char *const wrappers[] = {
	"AllocSetAlloc",
	"AllocSetAllocChunkFromBlock",
	"AllocSetAllocFromNewBlock",
	"AllocSetAllocLarge",
	"BumpAlloc",
	"GenerationAlloc",
	"MemoryContextAlloc",
	"MemoryContextAllocAligned",
	"MemoryContextAllocExtended",
	"MemoryContextAllocHuge",
	"MemoryContextAllocZero",
	"MemoryContextAllocZeroAligned",
	"SlabAlloc",
	"allocator_alloc",
	"apr_allocator_alloc",
	"dbMallocRawFinish",
	"g_slice_alloc",
	"g_slice_alloc0",
	"l_alloc",
	"luaM_growaux_",
	"mallocWithAlarm",
	"malloc_multiply",
	"mem_pool_alloc",
	"ngx_alloc",
	"ngx_pnalloc",
	"pcache1Alloc",
	"zend_mm_alloc",
};

/* Of the C library, where it was linked into the program: what allocates for its caller … */
static const char *const libc_functions[] = {
	"strdup",
	"__strdup",
	"strndup",
	"__strndup",
	"wcsdup",
	"getline",
	"getdelim",
	"__getdelim",
	"_IO_getdelim",
	"asprintf",
	"vasprintf",
	"___asprintf",
	"__asprintf",
	"__vasprintf_internal",
	"fopen",
	"fopen64",
	"_IO_new_fopen",
	"__fopen_internal",
	"_IO_file_doallocate",
	"_IO_doallocbuf",
	"open_memstream",
	"__open_memstream",
	"opendir",
	"fdopendir",
	"__alloc_dir",
	"realpath",
	"reallocarray",
	"__libc_reallocarray",
	"setlocale",
	"getaddrinfo",
	/* and what calls main() and the functions of threads */
	"_start",
	"__libc_start_main",
	"__libc_start_main_impl",
	"__libc_start_call_main",
	"__clone",
	"__clone3",
};

static bool is_in(const char *function, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(function, list[i]))
			return true;
	return false;
}

static bool ends_in(const char *name, size_t length, const char *word)
{
	size_t size = strlen(word);

	return size <= length && !strncasecmp(name + length - size, word, size);
}

static size_t find_ending(const char *name, size_t length, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ends_in(name, length, words[i]))
			return strlen(words[i]);
	return 0;
}

/* Without the namespaces of a file's own, which begin like arguments. */
static const char *behind_unnamed(const char *name)
{
	static const char unnamed[] = "(anonymous namespace)::";
	const char *at;

	while ((at = strstr(name, unnamed)) && (at == name || at[-1] == ':'))
		name = at + strlen(unnamed);
	return name;
}

/* Of a C++ function only what it is called, without its arguments; one of a template is no wrapper
 * of malloc. Of a part that a compiler has made of a function ("zmalloc.part.0") that function. */
static bool is_called_after_malloc(const char *full_name)
{
	const char *name = behind_unnamed(full_name);
	size_t length = strcspn(name, "(."), manner;

	if (memchr(name, '<', length) || memchr(name, ' ', length))
		return false;
	do {
		while (length && strchr("0123456789", name[length - 1]))
			length--;
		if (find_ending(name, length, malloc_words, ARRAY_SIZE(malloc_words)))
			return true;
		manner = find_ending(name, length, malloc_manners, ARRAY_SIZE(malloc_manners));
		length -= manner;
	} while (manner);
	return false;
}

static bool is_runtime_file(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < ARRAY_SIZE(runtime_files); i++) {
		size_t length = strlen(runtime_files[i]);

		/* "libc.so.6", "libc-2.31.so", "libstd-1a2b.so": not "libcrypto.so.3" */
		if (!strncmp(name, runtime_files[i], length) && strchr(".-", name[length]))
			return true;
	}
	return false;
}

bool dhat_is_own_code(const Dhat__Frame *frame, const Dhat__Location *location)
{
	const char *function = location ? location->function : "";

	if (frame->left_out)
		return false;
	if (!*function)
		return *frame->object && !is_runtime_file(frame->object);
	if (is_runtime_file(frame->object) || dhat_trim_is_library(function))
		return false;
	return !is_called_after_malloc(function) &&
	       !is_in(function, wrappers, ARRAY_SIZE(wrappers)) &&
	       !is_in(function, libc_functions, ARRAY_SIZE(libc_functions));
}

/* Frame number next_frame of the stack, location number next_location; both go on. */
static void take_next(const struct dhat_snapshot *snapshot, const Dhat__ProgramPoint *point,
		      struct dhat_own_frame *ret)
{
	ret->number = point->frames[ret->next_frame];
	ret->frame = snapshot->frames[ret->number - 1];
	ret->location_index = ret->next_location;
	ret->location = ret->next_location < ret->frame->n_locations
				? ret->frame->locations[ret->next_location]
				: NULL;
	if (++ret->next_location >= ret->frame->n_locations) {
		ret->next_frame++;
		ret->next_location = 0;
	}
}

bool dhat_own_next(const struct dhat_snapshot *snapshot, const Dhat__ProgramPoint *point,
		   struct dhat_own_frame *ret)
{
	while (ret->next_frame < point->n_frames) {
		take_next(snapshot, point, ret);
		if (dhat_is_own_code(ret->frame, ret->location))
			return true;
	}
	return false;
}
