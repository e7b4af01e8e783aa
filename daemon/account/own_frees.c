#include "own_frees.h"

#include <errno.h>
#include <stdlib.h>

#include "bpf/dhat_abi.h"
#include "proto/base/cleanup.h"
#include "proto/base/index.h"

/* Usable bytes of a cache: sizeof(tcache_perthread_struct), rounded up to a chunk's. */
#define CACHE_BYTES_2_26 0x248 /* to 2.29: 8-bit counts */
#define CACHE_BYTES_2_30 0x288
#define CACHE_BYTES_2_42 0x2f8 /* 12 more bins, for large blocks */

struct run { /* frees in a row that have the same key */
	struct frees_sum sum;
	uint16_t key;
	bool is_linked; /* one of them */
};

/* The last free stands apart, as it may be that of the cache, and before it those of its blocks. */
struct row {
	struct frees_sum all;
	struct run run;
	struct own_free last;
	struct frees_sum pending; /* what would be the cache's, if the thread ended now */
	uint32_t next_unused;
};
#define NO_ROW UINT32_MAX

/* The last known block that a thread freed. Threads whose numbers meet in one place forget each
 * other's: a repetition follows at once, or after what few others do meanwhile. */
#define LAST_COUNT 1024
struct last {
	uint32_t tid;
	uint32_t row_count; /* rows of threads that meet here: most have none */
	uint64_t addr;
};

struct own_frees {
	struct last last[LAST_COUNT];
	struct index *row_by_tid; /* point: number in rows */
	struct row *rows;
	uint32_t row_count, first_unused;
	struct frees_sum pending; /* of all rows */
	uint16_t process_key;	  /* 0: not known */
	unsigned glibc;		  /* 2.…; 0: not known, or two */
	bool has_two;
};

void own_frees_free(struct own_frees *own)
{
	if (!own)
		return;
	index_free(own->row_by_tid);
	free(own->rows);
	free(own);
}
DEFINE_CLEANUP_PTR(struct own_frees *, own_frees_free)

int own_frees_new(struct own_frees **ret)
{
	_cleanup_(own_frees_free_ptr) struct own_frees *own = calloc(1, sizeof(*own));
	int err;

	if (!own)
		return -ENOMEM;
	own->first_unused = NO_ROW;
	err = index_new(&own->row_by_tid);
	if (!err)
		*ret = take_ptr(own);
	return err;
}

void own_frees_glibc(struct own_frees *own, unsigned minor)
{
	own->has_two |= own->glibc && own->glibc != minor;
	own->glibc = own->has_two ? 0 : minor;
}

/* ---- rows --------------------------------------------------------------------------------- */

static int make_rows(struct own_frees *own)
{
	uint32_t count = own->row_count ? 2 * own->row_count : 64;
	struct row *rows = reallocarray(own->rows, count, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	own->rows = rows;
	for (uint32_t i = count; i-- > own->row_count;) {
		rows[i].next_unused = own->first_unused;
		own->first_unused = i;
	}
	own->row_count = count;
	return 0;
}

static struct last *last_of(struct own_frees *own, uint32_t tid)
{
	return &own->last[tid % LAST_COUNT];
}

static void forget_last(struct last *last)
{
	last->tid = 0;
	last->addr = 0;
}

static int row_of(struct own_frees *own, uint32_t tid, struct row **ret)
{
	struct index_entry *entry;
	int made;

	if (own->first_unused == NO_ROW && make_rows(own))
		return -ENOMEM;
	made = index_claim(own->row_by_tid, 0, tid, &entry);
	if (made < 0)
		return made;
	if (made) {
		entry->point = own->first_unused;
		own->first_unused = own->rows[entry->point].next_unused;
		own->rows[entry->point] = (struct row){ 0 };
		last_of(own, tid)->row_count++;
	}
	*ret = &own->rows[entry->point];
	return 0;
}

static bool take_row(struct own_frees *own, uint32_t tid, struct row *ret)
{
	struct index_entry entry;

	if (!last_of(own, tid)->row_count || !index_remove(own->row_by_tid, 0, tid, &entry))
		return false;
	last_of(own, tid)->row_count--;
	*ret = own->rows[entry.point];
	own->pending.frees -= ret->pending.frees;
	own->pending.bytes -= ret->pending.bytes;
	own->rows[entry.point].next_unused = own->first_unused;
	own->first_unused = entry.point;
	return true;
}

static void run_add(struct run *run, const struct own_free *one)
{
	if (!run->sum.frees || run->key != one->key)
		*run = (struct run){ .key = one->key };
	run->sum.frees++;
	run->sum.bytes += one->bytes;
	run->is_linked |= one->is_linked;
}

/* Is it the block at addr, or does it hold that? */
static bool is_around(const struct own_free *one, uint64_t addr)
{
	return one->addr == addr || (one->addr < addr && addr - one->addr < one->bytes);
}

/* A block that has its mark from the cache has been freed: this is another free. */
static bool is_repetition(struct own_frees *own, uint32_t tid, const struct own_free *one)
{
	struct last *last = last_of(own, tid), before = *last;
	bool is_it;

	if (before.tid != tid)
		return false;
	forget_last(last);
	is_it = before.addr && is_around(one, before.addr) &&
		(!one->key || one->key != own->process_key);
	if (is_it &&
	    one->addr != before.addr) { /* which the next wrapper may put a header before */
		last->tid = tid;
		last->addr = one->addr;
	}
	return is_it;
}

static void forget_row(struct own_frees *own, uint32_t tid)
{
	struct row unused;

	take_row(own, tid, &unused);
}

void own_frees_known(struct own_frees *own, uint32_t tid, uint64_t addr)
{
	struct last *last = last_of(own, tid);

	last->tid = tid;
	last->addr = addr;
	forget_row(own, tid);
}

void own_frees_other(struct own_frees *own, uint32_t tid)
{
	struct last *last = last_of(own, tid);

	if (last->tid == tid)
		forget_last(last);
	forget_row(own, tid);
}

/* ---- what was the cache ------------------------------------------------------------------- */

/* Of a block of so many bytes, or of the 16 more that are given where they would be too few for a
 * chunk of their own (MINSIZE of malloc/malloc.c is 32). */
static bool may_have_been(const struct own_free *one, uint64_t bytes)
{
	return one->bytes == bytes || one->bytes == bytes + 16;
}

static bool is_cache(const struct own_frees *own, const struct own_free *one)
{
	unsigned glibc = own->glibc;

	return (may_have_been(one, CACHE_BYTES_2_26) && glibc < 30) ||
	       (may_have_been(one, CACHE_BYTES_2_30) && (!glibc || (glibc >= 30 && glibc < 42))) ||
	       (may_have_been(one, CACHE_BYTES_2_42) && (!glibc || glibc >= 42));
}

/* Were these in the cache? cache: its address; 0: not known. */
static bool is_of_cache(struct own_frees *own, const struct run *run, uint64_t cache)
{
	if (!run->key)
		return false;
	if (run->key == own->process_key || run->key == dhat_chunk_key(cache))
		return true;
	if (run->is_linked)
		own->process_key = run->key;
	return run->is_linked;
}

/* The row ends with the cache itself. */
static struct frees_sum whole_end(struct own_frees *own, const struct row *row)
{
	const struct run *run = &row->run;
	struct frees_sum sum = { 1, row->last.bytes };

	if (is_of_cache(own, run, row->last.addr)) {
		sum.frees += run->sum.frees;
		sum.bytes += run->sum.bytes;
	} else if (may_have_been(&row->last, CACHE_BYTES_2_26) && own->glibc < 29) {
		sum = row->all;
	}
	return sum;
}

/* The process ended before all was given back. */
static struct frees_sum cut_end(struct own_frees *own, const struct row *row)
{
	struct run run = row->run;

	run_add(&run, &row->last);
	return is_of_cache(own, &run, 0) ? run.sum : (struct frees_sum){ 0 };
}

static struct frees_sum end_of(struct own_frees *own, const struct row *row)
{
	return is_cache(own, &row->last) ? whole_end(own, row) : cut_end(own, row);
}

/* By blocks that were in it: a block of its size alone is not enough, until the thread has ended.
 */
static void note_pending(struct own_frees *own, struct row *row)
{
	uint16_t process_key = own->process_key;
	struct frees_sum pending = end_of(own, row);

	own->process_key = process_key; /* nothing is learnt from what may be no end */
	if (pending.frees == 1 && is_cache(own, &row->last))
		pending = (struct frees_sum){ 0 };
	own->pending.frees += pending.frees - row->pending.frees;
	own->pending.bytes += pending.bytes - row->pending.bytes;
	row->pending = pending;
}

struct frees_sum own_frees_pending(const struct own_frees *own)
{
	return own->pending;
}

bool own_frees_unknown(struct own_frees *own, uint32_t tid, const struct own_free *one)
{
	struct row *row;

	if (is_repetition(own, tid, one))
		return true;
	if (row_of(own, tid, &row))
		return false;
	if (row->all.frees)
		run_add(&row->run, &row->last);
	row->last = *one;
	row->all.frees++;
	row->all.bytes += one->bytes;
	note_pending(own, row);
	return false;
}

struct frees_sum own_frees_end(struct own_frees *own, uint32_t tid, bool is_first_thread)
{
	struct row row;

	if (!take_row(own, tid, &row) || is_first_thread)
		return (struct frees_sum){ 0 };
	return end_of(own, &row);
}
