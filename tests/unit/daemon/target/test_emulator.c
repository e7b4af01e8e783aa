/* emulator: by path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/target/emulator.h"

static void test_emulators(void **state)
{
	assert_true(emulator_is("/usr/bin/qemu-aarch64-static"));
	assert_true(emulator_is("/usr/bin/qemu-riscv64"));
	assert_true(emulator_is("/usr/libexec/valgrind/memcheck-amd64-linux"));
	assert_false(emulator_is("/usr/bin/qemu-system-aarch64"));
	assert_false(emulator_is("/usr/bin/qemu-img"));
	assert_false(emulator_is("/usr/bin/valgrind.bin"));
	assert_false(emulator_is("/opt/service-amd64-linux"));
	assert_false(emulator_is(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_emulators),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
