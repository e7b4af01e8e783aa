#include "runtime.h"

#include <limits.h>
#include <string.h>

#include "daemon/object/sites/hidden.h"
#include "daemon/proc/file.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"

/* Among the options of Python's command line, of which several may stand behind one dash, is there
 * -E or -I? Some have a value, in the same argument or in the next: python(1). */
static bool ignores_environment(const char *arguments, size_t size)
{
	static const char with_value[] = "cmWX";
	bool skips = true; /* the program itself */

	for (const char *at = arguments; at < arguments + size; at += strlen(at) + 1) {
		size_t length;

		if (skips) {
			skips = false;
			continue;
		}
		skips = !strcmp(at, "--check-hash-based-pycs");
		if (skips)
			continue;
		if (at[0] != '-' || !at[1] || at[1] == '-')
			return false;
		length = strcspn(at + 1, with_value);
		if (memchr(at + 1, 'E', length) || memchr(at + 1, 'I', length))
			return true;
		if (at[1 + length] == 'c' || at[1 + length] == 'm')
			return false; /* what follows is the script's */
		skips = at[1 + length] && !at[2 + length];
	}
	return false;
}

/* A program into which Python is built decides by itself what its environment is worth. */
static bool heeds_environment(pid_t pid)
{
	_cleanup_free_ char *arguments = NULL;
	char path[PATH_MAX];
	size_t size = 0;

	return proc_read_link(pid, "exe", path, sizeof(path)) == 0 &&
	       !strncmp(dhat_text_base_name(path), "python", 6) &&
	       proc_read(pid, "cmdline", &arguments, &size) == 0 &&
	       !ignores_environment(arguments, size);
}

static bool takes_from_malloc(pid_t pid, unsigned maker)
{
	const char *setting = hidden_setting(maker);
	_cleanup_free_ char *rest = NULL;

	return setting && proc_setting(pid, setting, &rest) == 0 &&
	       (maker != OBJECT_MAKER_CPYTHON || heeds_environment(pid));
}

uint32_t runtime_uncounted(pid_t pid, uint32_t makers, bool has_mappings)
{
	for (unsigned maker = 0; maker < OBJECT_MAKER_COUNT; maker++)
		if (makers >> maker & 1 && object_maker_is_runtime(maker) &&
		    (has_mappings || takes_from_malloc(pid, maker)))
			makers &= ~(1u << maker);
	return makers;
}
