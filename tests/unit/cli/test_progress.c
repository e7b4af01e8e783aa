/* What takes long is told on a terminal; and so is what follows it, sooner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pty.h>
#include <string.h>
#include <unistd.h>

#include "cli/progress.h"

static char shown[4096];
static size_t shown_size;

static void wait_for(int terminal, const char *text)
{
	while (!strstr(shown, text)) {
		ssize_t size = read(terminal, shown + shown_size, sizeof(shown) - 1 - shown_size);

		assert_true(size > 0);
		shown_size += (size_t)size;
	}
}

static void what_follows_is_told_sooner(void **state)
{
	int terminal, inside, kept = dup(STDERR_FILENO);

	assert_int_equal(openpty(&terminal, &inside, NULL, NULL, NULL), 0);
	dup2(inside, STDERR_FILENO);
	progress_begin("reading", "/a/first.dhat");
	wait_for(terminal, "reading first.dhat: ");
	progress_end();
	progress_begin("comparing", NULL);
	wait_for(terminal, "comparing");
	progress_end();
	wait_for(terminal, "\r\033[Kcomparing …\r\033[K");
	dup2(kept, STDERR_FILENO);
	assert_null(strstr(shown, "reading first.dhat …"));
	assert_non_null(strstr(shown, "reading first.dhat: 1 s"));
	close(kept);
	close(terminal);
	close(inside);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_follows_is_told_sooner) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
