#include "object_desc.h"

#include <stdlib.h>

const char *object_maker_name(unsigned maker)
{
	static const char *const names[OBJECT_MAKER_COUNT] = {
		[OBJECT_MAKER_JEMALLOC] = "jemalloc", [OBJECT_MAKER_MIMALLOC] = "mimalloc",
		[OBJECT_MAKER_TCMALLOC] = "tcmalloc", [OBJECT_MAKER_SCUDO] = "scudo",
		[OBJECT_MAKER_CPYTHON] = "CPython",   [OBJECT_MAKER_PHP] = "PHP",
		[OBJECT_MAKER_ERLANG] = "Erlang",
	};

	return maker < OBJECT_MAKER_COUNT ? names[maker] : "unknown";
}

bool object_maker_is_runtime(unsigned maker)
{
	return maker >= OBJECT_MAKER_CPYTHON && maker < OBJECT_MAKER_COUNT;
}

void object_desc_deinit(struct object_desc *desc)
{
	free(desc->segments);
	*desc = (struct object_desc){ 0 };
}
