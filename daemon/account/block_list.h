#pragma once
/* block_list: the live blocks of one moment by ascending address, in 12 bytes each.
 *
 * Pure. A census (census.h) fills it, in no order, while events go on. Of a block's birth only how
 * old it was is kept, roughly (proto/profile/pages.h). What does not fit into 12 bytes, a size of
 * 16 KiB and more, has 24 beside: less than 1 % of what such a block is.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block.h"

struct block_list;

struct listed_block {
	uint64_t addr, size_bytes;
	uint32_t point;
	uint8_t age;	/* proto/profile/pages.h */
	bool is_mapped; /* memory that the target mapped itself: DHAT_DOMAIN_ANON */
};

/* Room for so many blocks, which is what it takes; what is beside grows. -ENOMEM. */
int block_list_new(uint64_t room, struct block_list **ret);
void block_list_free(struct block_list *list);
/* What one with room for so many takes, of which so many bytes are live. */
uint64_t block_list_bytes(uint64_t blocks, uint64_t live_bytes);

/* now_ns: of which its age is. -ENOSPC: there is no room. -EOVERFLOW: an address beyond 2^57, or a
 * point beyond 2^20, which there are none of. -ENOMEM. */
int block_list_add(struct block_list *list, const struct block *block, uint64_t now_ns);
/* Once, behind the last one. Some 60 ns a block, of ten million. */
void block_list_sort(struct block_list *list);

size_t block_list_count(const struct block_list *list);
/* number: from 0 on, after the sort. */
struct listed_block block_list_at(const struct block_list *list, size_t number);
