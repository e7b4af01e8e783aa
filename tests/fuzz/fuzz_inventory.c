/* The heap of another process: whatever its memory holds, and however it changes under our hands.
 *
 * The input's first byte says of which glibc; the rest is a list of changes to a sound heap, each
 * made before a reading. Words are put where the readers look, and say what leads them astray:
 * addresses of the heap, sizes, small numbers.
 */
#include "fuzz.h"
#include "tests/unit/fake_heap.h"

#define MAX_BLOCKS 4096
/* A second's: the longest way through 360 KiB of memory, many times over. */
#define MOST_READS 3000000

struct change {
	uint8_t wait; /* readings before it */
	uint8_t range, kind, number;
	uint16_t where; /* in 8 bytes */
	uint16_t value;
};

struct changes {
	const uint8_t *at;
	size_t left;
	uint64_t due; /* the reading before which the next one is made */
};

/* Of what the value is made. */
static uint64_t word_of(const struct change *change)
{
	uint64_t base = fake_starts[change->number % FAKE_RANGES];
	uint64_t addr = base + change->value * 16ull % FAKE_BYTES;

	switch (change->kind % 8) {
	case 0:
		return change->value;
	case 1:
		return (uint64_t)change->value << (change->number % 48);
	case 2:
		return addr;
	case 3: /* a mangled link from where it is put */
		return (fake_starts[change->range % FAKE_RANGES] + change->where * 8ull) >> 12 ^
		       addr;
	case 4:
		return change->value / 16 * 16ull | (change->number & 7);
	case 5:
		return 0;
	case 6:
		return UINT64_MAX - change->value;
	default:
		return addr + change->number % 16;
	}
}

/* Places that matter are met more often than by chance. */
static uint64_t place_of(const struct change *change)
{
	const uint64_t places[] = { FAKE_MAIN_ARENA,  FAKE_OTHER_ARENA,
				    FAKE_PARAMETERS,  FAKE_CACHE,
				    fake_chunk(0),    FAKE_CONTROL_BLOCK,
				    FAKE_ARENA,	      FAKE_CONTROL_BLOCK - 0x80,
				    FAKE_MAPPED_CHUNK };
	size_t count = sizeof(places) / sizeof(*places);

	if (change->range < 128)
		return fake_starts[change->range % FAKE_RANGES] + change->where * 8ull % FAKE_BYTES;
	return places[change->range % count] + change->where % 512 * 8ull;
}

static void make_changes(struct fake_heap *fake, void *context)
{
	struct changes *changes = context;
	struct change change;

	FUZZ_CHECK(fake->reads <= MOST_READS);
	while (changes->left >= sizeof(change) && changes->due <= fake->reads) {
		memcpy(&change, changes->at, sizeof(change));
		changes->at += sizeof(change);
		changes->left -= sizeof(change);
		changes->due = fake->reads + change.wait;
		fake_put(fake, place_of(&change), word_of(&change));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fake_glibc *const versions[] = { &fake_2_41, &fake_2_42, &fake_2_43 };
	static struct fake_heap fake;
	struct changes changes = { data + 1, size - 1, 0 };
	struct inventory *inventory = NULL;
	uint64_t usable = 0;

	if (!size)
		return 0;
	fake_glibc = versions[data[0] % 3];
	fake_heap_build(&fake);
	fake.go_on = make_changes;
	fake.context = &changes;
	make_changes(&fake, &changes);
	if (fake_heap_take(&fake, MAX_BLOCKS, NULL, &inventory))
		return 0;
	FUZZ_CHECK(inventory->count <= 2 * MAX_BLOCKS);
	FUZZ_CHECK(inventory->is_complete == !inventory->note[0]);
	for (size_t i = 0; i < inventory->count; i++) {
		const struct inventory_block *block = &inventory->blocks[i];

		/* within memory, by ascending address */
		FUZZ_CHECK(fake_at(&fake, block->addr, 1));
		FUZZ_CHECK(i == 0 || inventory->blocks[i - 1].addr <= block->addr);
		usable += block->usable_bytes;
	}
	FUZZ_CHECK(usable == inventory->usable_bytes);
	inventory_free(inventory);
	return 0;
}
