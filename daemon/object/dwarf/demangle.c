#include "demangle.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libiberty/demangle.h>
#undef ARRAY_SIZE /* libiberty.h and cleanup.h have the same one */

#include "proto/base/cleanup.h"

struct output {
	jmp_buf too_long;
	size_t size;
	char text[DEMANGLE_MAX_BYTES];
};

/* The callback cannot say "stop", but the demanglers called here hold no memory while they print
 * (that is what their callback forms are for), so jumping out loses nothing. */
static void append(const char *text, size_t size, void *context)
{
	struct output *output = context;

	if (!size) /* the text may then be NULL, which memcpy() does not allow */
		return;
	if (size >= sizeof(output->text) - output->size)
		longjmp(output->too_long, 1);
	memcpy(output->text + output->size, text, size);
	output->size += size;
}

static bool is_rust(const char *name)
{
	size_t length = strlen(name);

	if (!strncmp(name, "_R", 2))
		return true;
	/* legacy: an Itanium name that ends in 17h and 16 hex digits, E */
	return !strncmp(name, "_ZN", 3) && length > 20 && name[length - 1] == 'E' &&
	       !strncmp(name + length - 20, "17h", 3);
}

static bool unfold(const char *name, struct output *output)
{
	if (setjmp(output->too_long))
		return false;
	output->size = 0;
	if (is_rust(name) && rust_demangle_callback(name, DMGL_PARAMS, append, output))
		return true;
	output->size = 0;
	return cplus_demangle_v3_callback(name, DMGL_PARAMS | DMGL_ANSI, append, output);
}

/* ThinLTO makes local symbols unique by ".llvm." and digits; that says nothing to a person. */
static void cut_llvm_suffix(char *name)
{
	char *suffix = strstr(name, ".llvm.");

	if (suffix && strspn(suffix + 6, "0123456789ABCDEF") == strlen(suffix + 6))
		*suffix = '\0';
}

char *demangle(const char *linkage_name)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_free_ struct output *output = NULL;

	if (linkage_name[0] != '_' || (linkage_name[1] != 'Z' && linkage_name[1] != 'R'))
		return NULL;
	name = strdup(linkage_name);
	output = malloc(sizeof(*output));
	if (!name || !output)
		return NULL;
	cut_llvm_suffix(name);
	if (!unfold(name, output) || !output->size)
		return NULL;
	return strndup(output->text, output->size);
}
