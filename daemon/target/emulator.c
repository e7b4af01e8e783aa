#include "emulator.h"

#include <stddef.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"

bool emulator_is(const char *path)
{
	static const char *const machines[] = {
		"aarch64", "alpha",	 "arm",	  "hexagon", "hppa",   "i386", "loongarch64",
		"m68k",	   "microblaze", "mips",  "nios2",   "or1k",   "ppc",  "riscv",
		"s390x",   "sh4",	 "sparc", "x86_64",  "xtensa",
	};
	const char *name = dhat_text_base_name(path);
	size_t i;

	/* qemu-system-…, qemu-img and others run their own code and may be looked at */
	for (i = 0; !strncmp(name, "qemu-", 5) && i < ARRAY_SIZE(machines); i++)
		if (!strncmp(name + 5, machines[i], strlen(machines[i])))
			return true;
	return strstr(path, "/valgrind/") && (strstr(name, "-amd64-") || strstr(name, "-x86-"));
}
