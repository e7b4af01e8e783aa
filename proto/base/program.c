#include "program.h"

#include "text.h"

#include <string.h>

const char *dhat_program_name(const char *command, const char *executable,
			      char ret[DHAT_PROGRAM_CHARS])
{
	size_t length = strlen(executable), kept = 0;
	const char *end, *at;

	if (!*command)
		command = executable;
	if (length == 0 || strncmp(command, executable, length) != 0 ||
	    (command[length] && command[length] != ' '))
		length = strcspn(command, " ");
	end = command + length;
	if (end > command + 1 && end[-1] == ':') /* a title that it gave itself */
		end--;
	for (at = end; at > command && at[-1] != '/';)
		at--;
	/* whole characters */
	while (at + kept < end) {
		size_t size = dhat_text_character(at + kept) ?: 1;

		if (kept + size >= DHAT_PROGRAM_CHARS || at + kept + size > end)
			break;
		kept += size;
	}
	if (kept == 0)
		return strcpy(ret, "?");
	memcpy(ret, at, kept);
	ret[kept] = '\0';
	return ret;
}
