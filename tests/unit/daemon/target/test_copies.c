/* copies: of this process's own code, in memory of its own; what is said when not all can be
 * searched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/machine.h"
#include "daemon/target/copies.h"
#include "proto/base/cleanup.h"

#define PAGES 8
#define PATTERN_BYTES 4096

struct world {
	struct places places;
	struct places_owner owner;
	struct copies copies;
	uint8_t code[PATTERN_BYTES]; /* as the file has it */
	uint8_t *memory;	     /* executable, of no file */
	char said[640];
};

static void keep(void *context, const char *text)
{
	struct world *world = context;

	snprintf(world->said, sizeof(world->said), "%s", text);
}

static int set_up(void **state)
{
	static struct world world;
	_cleanup_close_ int fd = memfd_create("code", MFD_CLOEXEC);

	world = (struct world){
		.owner = { .pid = getpid(), .tell = keep, .context = &world },
		.copies = { .max_pages = PAGES / 2 },
	};
	for (size_t i = 0; i < sizeof(world.code); i++)
		world.code[i] = (i * 7 + i / 256) & 0x7f;
	if (write(fd, world.code, sizeof(world.code)) != (ssize_t)sizeof(world.code))
		return -1;
	places_init(&world.places);
	world.memory = mmap(NULL, PAGES * DHAT_PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	*state = &world;
	return world.memory == MAP_FAILED ? -1 : places_add(&world.places, 0, fd, 1000, "malloc");
}

static int tear_down(void **state)
{
	struct world *world = *state;

	munmap(world->memory, PAGES * DHAT_PAGE_BYTES);
	copies_deinit(&world->copies);
	places_deinit(&world->places);
	return 0;
}

/* With a breakpoint where the place is. */
static void copy_to(struct world *world, size_t page)
{
	uint8_t *at = world->memory + page * DHAT_PAGE_BYTES;

	memcpy(at, world->code, DHAT_PAGE_BYTES);
	at[1000] = 0xcc;
}

static bool is_mended(const struct world *world, size_t page)
{
	return world->memory[page * DHAT_PAGE_BYTES + 1000] == world->code[1000];
}

static void search(struct world *world, bool all)
{
	world->said[0] = '\0';
	copies_search(&world->copies, &world->places, &world->owner, all);
}

/* Half of it at a time: what was left out is said once, and searched by the next search. */
static void test_the_bound_is_told_and_kept(void **state)
{
	struct world *world = *state;

	copy_to(world, PAGES - 1);
	search(world, false);
	assert_false(is_mended(world, PAGES - 1));
	assert_non_null(strstr(world->said, "16.0 KiB were left out"));
	for (int i = 0; i < PAGES && !is_mended(world, PAGES - 1); i++)
		search(world, false);
	assert_true(is_mended(world, PAGES - 1));
	assert_null(strstr(world->said, "left out"));
	assert_non_null(strstr(world->said, "1 breakpoint of ours (malloc)"));
}

static void test_what_was_searched_is_not_again(void **state)
{
	struct world *world = *state;

	world->copies.max_pages = 0;
	search(world, false);
	copy_to(world, 2);
	search(world, false);
	assert_false(is_mended(world, 2));
	search(world, true);
	assert_true(is_mended(world, 2));
	assert_int_equal(atomic_load(&world->copies.found), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_bound_is_told_and_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_was_searched_is_not_again, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
