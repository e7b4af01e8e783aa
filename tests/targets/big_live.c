/* A large live set: big_live [BLOCKS]. Three blocks in four live to the end, chained, so that a
 * broken chain shows at once. */
#include "ledger.h"

struct node {
	struct node *next;
	uint64_t number;
};

static __attribute__((noinline)) struct node *link_node(struct node *next, uint64_t number)
{
	size_t size_bytes = sizeof(struct node) + number % 48;
	struct node *node = malloc(size_bytes);

	OPAQUE(node);
	CHECK(node);
	ledger_add(size_bytes);
	node->next = next;
	node->number = number;
	return node;
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long count = arg_number(argc, argv, own, 1000000);
	struct node *list = NULL, *node;
	long seen = 0;

	for (long i = 0; i < count; i++) {
		node = link_node(list, i);
		if (i % 4 == 3) {
			free(node);
			ledger_drop(sizeof(struct node) + i % 48);
		} else {
			list = node;
		}
	}
	for (node = list; node; node = node->next)
		seen++;
	CHECK(seen == count - count / 4);
	return target_end("");
}
