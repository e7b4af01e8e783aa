/* scudo: LLVM's hardened allocator, as it comes with clang (libclang_rt.scudo_standalone). All of
 * its functions have plain names. */
#include "family.h"

#include <stdio.h>

static bool is_present(const struct object *object, const char *prefix)
{
	return family_has(object, prefix, "__scudo_print_stats");
}

static void tell_name(const struct object *object, char *ret, size_t size)
{
	(void)object;
	snprintf(ret, size, "scudo");
}

const struct allocator_family family_scudo = {
	.marks = (const char *const[]){ "__scudo_print_stats", NULL },
	.is_present = is_present,
	.tell_name = tell_name,
	.maker = OBJECT_MAKER_SCUDO,
	.owns_plain = true,
};
