#include "role.h"

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
	[DHAT_ROLE_REALLOCF] = { "reallocf", 2, true },
	[DHAT_ROLE_REALLOCARR] = { "reallocarr", 3, true },
	[DHAT_ROLE_STRDUP] = { "new string", 0, true },
	[DHAT_ROLE_REALPATH] = { "new string without a buffer", 1, true },
	[DHAT_ROLE_DUPENV] = { "new string by reference", 1, true },
	[DHAT_ROLE_UNKNOWN] = { "not known", 0, false },
	[DHAT_ROLE_CONTROL] = { "control", 1, false },
	[DHAT_ROLE_MMAP] = { "mmap", 2, true },
	[DHAT_ROLE_MUNMAP] = { "munmap", 2, true },
	[DHAT_ROLE_MREMAP] = { "mremap", 3, true },
	[DHAT_ROLE_SBRK] = { "sbrk", 1, true },
};

unsigned role_args(uint8_t role)
{
	return role < DHAT_ROLE_COUNT ? roles[role].args : 0;
}

const char *role_name(uint8_t role)
{
	return role < DHAT_ROLE_COUNT && roles[role].name ? roles[role].name : "unknown";
}

bool role_returns(uint8_t role)
{
	return role < DHAT_ROLE_COUNT && roles[role].returns;
}
