#pragma once
/* unwind_host: bpf/unwind.h as plain C.
 *
 * The includer fills host_mappings (sorted by start) and host_tables, and provides host_copy().
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bpf/unwind_types.h"
#include "daemon/object/cfi/cfi.h"

#define UNWIND_NOINLINE __attribute__((noinline, unused)) static

/* dst <- the target's memory; 0 or negative, all or nothing */
static int host_copy(void *dst, uint32_t size, uint64_t addr);

static struct unwind_control unwind_control;
static struct unwind_memo host_memo[UNWIND_MEMO_SIZE];
static struct dhat_mapping host_mappings[2 * DHAT_MAX_MAPPINGS];
static const struct cfi_table *host_tables[DHAT_MAX_TABLES];
/* What the process really maps, when the tables' epoch is past; and a pending return probe. */
static bool host_is_current = true;
/* Is code mapped at pc that no mapping has? 1, 0, -1. */
static int host_is_code = 1;
static uint64_t host_hidden_slot, host_hidden_return;

typedef const struct cfi_table unwind_table_t;

static inline int unwind_copy(void *dst, uint32_t size, uint64_t addr)
{
	return host_copy(dst, size, addr);
}

static inline struct unwind_memo *unwind_memo(uint32_t index)
{
	return index < UNWIND_MEMO_SIZE ? &host_memo[index] : NULL;
}

static inline const struct dhat_mapping *unwind_mapping(uint32_t index)
{
	return index < 2 * DHAT_MAX_MAPPINGS ? &host_mappings[index] : NULL;
}

static inline unwind_table_t *unwind_table(uint32_t slot)
{
	return slot < DHAT_MAX_TABLES ? host_tables[slot] : NULL;
}

static inline __u64 *unwind_word(unwind_table_t *table, uint64_t index)
{
	return index < table->word_count ? (__u64 *)&table->words[index] : NULL;
}

static inline int unwind_is_current(uint64_t pc, uint64_t inode, uint64_t bias)
{
	return host_is_current;
}

static inline int unwind_is_code(uint64_t pc)
{
	return host_is_code;
}

static uint64_t host_unread; /* the last that was told */
static inline void unwind_tell_unread(uint64_t pc)
{
	host_unread = pc;
}

static inline uint64_t unwind_hidden_return(uint64_t slot_addr)
{
	return slot_addr == host_hidden_slot ? host_hidden_return : 0;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunknown-pragmas" /* clang's unroll */
#include "bpf/unwind.h"
#pragma GCC diagnostic pop

static struct unwind_scratch host_scratch;
static uint64_t host_hash; /* of the stack walked last */

/* What take_stack() in bpf/stacks.h does, without the ring. Returns an enum dhat_stop. */
static inline uint32_t host_unwind(uint64_t pc, uint64_t sp, uint64_t bp, bool is_exact_pc)
{
	struct unwind_scratch *s = &host_scratch;
	uint32_t stop = UNWIND_MORE;
	int i;

	s->frame_count = 0;
	s->flags = 0;
	s->is_exact_pc = is_exact_pc;
	s->is_fp_lost = 0;
	s->guess = 0;
	s->pc = pc;
	s->sp = sp;
	s->fp = bp;
	s->window_size = 0;
	s->reads.count = 0;
	unwind_push(s, pc);
	for (i = 0; i < 2 * DHAT_MAX_DEPTH && stop == UNWIND_MORE; i++)
		stop = unwind_step(s);
	s->stop = stop < DHAT_STOP_COUNT ? stop : DHAT_STOP_TOO_DEEP;
	host_hash = unwind_hash(s);
	return s->stop;
}

/* Add a mapping to bank 0; in ascending order. table NULL: it has none. bias: run-time address -
 * link-time address. */
static inline void host_map(uint64_t start, uint64_t end, uint64_t bias,
			    const struct cfi_table *table)
{
	uint32_t at = unwind_control.count[0]++;

	host_tables[at] = table;
	host_mappings[at] = (struct dhat_mapping){
		.start = start,
		.end = end,
		.inode = 1,
		.table_bias = table ? bias + table->first_page_vaddr : 0,
		.table_slot = at,
		.kind = table ? DHAT_MAPPING_TABLE : DHAT_MAPPING_NO_TABLE,
	};
}

static inline void host_reset(void)
{
	memset(&unwind_control, 0, sizeof(unwind_control));
	memset(host_memo, 0, sizeof(host_memo));
	memset(host_mappings, 0, sizeof(host_mappings));
	host_is_current = true;
	host_is_code = 1;
	host_hidden_slot = host_hidden_return = 0;
}
