#include "beside.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

void beside_find_dhatd(char ret[BESIDE_CHARS])
{
	static const char *const beside[] = { "/dhatd", "/../sbin/dhatd" };
	char own[PATH_MAX] = "";
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
	char *slash = length > 0 ? strrchr(own, '/') : NULL;

	for (size_t i = 0; slash && i < ARRAY_SIZE(beside); i++) {
		snprintf(ret, BESIDE_CHARS, "%.*s%s", (int)(slash - own), own, beside[i]);
		if (access(ret, X_OK) == 0)
			return;
	}
	snprintf(ret, BESIDE_CHARS, "dhatd");
}
