/* Blocks that grow, shrink, come and go in a fixed random order: churn [OPERATIONS] [SLOTS]. */
#include "ledger.h"

#define MAX_SLOTS 4096

struct slot {
	char *block;
	size_t size_bytes;
};

static struct slot slots[MAX_SLOTS];

static __attribute__((noinline)) void grow(struct slot *slot, size_t size_bytes)
{
	char *p = realloc(slot->block, size_bytes);

	OPAQUE(p);
	CHECK(p);
	if (slot->block)
		ledger_resize(slot->size_bytes, size_bytes);
	else
		ledger_add(size_bytes);
	slot->block = p;
	slot->size_bytes = size_bytes;
}

static __attribute__((noinline)) void renew_small(struct slot *slot, size_t size_bytes)
{
	free(slot->block);
	if (slot->block)
		ledger_drop(slot->size_bytes);
	slot->block = malloc(size_bytes);
	OPAQUE(slot->block);
	CHECK(slot->block);
	slot->size_bytes = size_bytes;
	ledger_add(size_bytes);
}

static __attribute__((noinline)) void renew_cleared(struct slot *slot, size_t size_bytes)
{
	free(slot->block);
	if (slot->block)
		ledger_drop(slot->size_bytes);
	slot->block = calloc(1, size_bytes);
	OPAQUE(slot->block);
	CHECK(slot->block);
	slot->size_bytes = size_bytes;
	ledger_add(size_bytes);
}

static __attribute__((noinline)) void drop(struct slot *slot)
{
	free(slot->block);
	if (slot->block)
		ledger_drop(slot->size_bytes);
	*slot = (struct slot){ 0 };
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long operations = arg_number(argc, argv, own, 200000);
	long slot_count = arg_number(argc, argv, own + 1, 1000);
	uint64_t state = 1;

	CHECK(slot_count > 0 && slot_count <= MAX_SLOTS);
	for (long i = 0; i < operations; i++) {
		struct slot *slot = &slots[next_random(&state) % slot_count];
		size_t size_bytes = 1 + next_random(&state) % (i % 64 ? 600 : 200000);

		switch (next_random(&state) % 4) {
		case 0:
			grow(slot, size_bytes);
			break;
		case 1:
			renew_small(slot, size_bytes);
			break;
		case 2:
			renew_cleared(slot, size_bytes);
			break;
		default:
			drop(slot);
		}
	}
	return target_end("");
}
