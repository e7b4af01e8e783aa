#pragma once
/* folder: an empty folder for a test, and its end: make_folder() and remove_folder() as the test's
 * set-up and tear-down.
 */
#include <stdio.h>
#include <stdlib.h>

static char folder[64];

static inline int make_folder(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/dhat-test-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
	char command[sizeof(folder) + 16];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}
