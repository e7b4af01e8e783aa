#include "ring.h"

#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define RECORDS_PER_PUBLISH 64

struct ring {
	_Atomic uint64_t *consumer; /* page 0 of the map */
	_Atomic uint64_t *producer; /* page 1, read-only; the data follow, mapped twice in a row */
	const uint8_t *data;
	uint64_t mask;
	size_t page_bytes, producer_bytes;
};

int ring_open(int map_fd, uint32_t bytes, struct ring **ret)
{
	_cleanup_free_ struct ring *ring = calloc(1, sizeof(*ring));
	size_t page = sysconf(_SC_PAGESIZE);
	void *memory;

	if (!ring)
		return -ENOMEM;
	memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	ring->consumer = memory;
	ring->page_bytes = page;
	ring->producer_bytes = page + 2 * (size_t)bytes;
	memory = mmap(NULL, ring->producer_bytes, PROT_READ, MAP_SHARED, map_fd, page);
	if (memory == MAP_FAILED) {
		int error = errno;

		munmap(without_qualifiers(ring->consumer), page);
		return -error;
	}
	ring->producer = memory;
	ring->data = (const uint8_t *)memory + page;
	ring->mask = bytes - 1;
	*ret = take_ptr(ring);
	return 0;
}

void ring_close(struct ring *ring)
{
	if (!ring)
		return;
	munmap(without_qualifiers(ring->consumer), ring->page_bytes);
	munmap(without_qualifiers(ring->producer), ring->producer_bytes);
	free(ring);
}

/* The records from *at on that are whole, at most max; beyond the last of them is *at then. */
static size_t collect(const struct ring *ring, uint64_t end, size_t max, uint64_t *at,
		      struct iovec *records, size_t *ret)
{
	size_t count = 0;

	*ret = 0;
	for (; *at < end && count < max; count++) {
		const uint8_t *head = ring->data + (*at & ring->mask);
		/* length and flags, published by the producer when the record is whole */
		uint32_t length =
			atomic_load_explicit((const _Atomic uint32_t *)head, memory_order_acquire);
		uint32_t size = length & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if (length & BPF_RINGBUF_BUSY_BIT)
			break;
		if (!(length & BPF_RINGBUF_DISCARD_BIT))
			records[(*ret)++] =
				(struct iovec){ without_qualifiers(head + BPF_RINGBUF_HDR_SZ),
						size };
		*at += (size + BPF_RINGBUF_HDR_SZ + 7) & ~7ULL;
	}
	return count;
}

size_t ring_drain_groups(struct ring *ring, size_t max,
			 void (*take)(void *context, const struct iovec *records, size_t count),
			 void *context)
{
	uint64_t at = atomic_load_explicit(ring->consumer, memory_order_relaxed);
	uint64_t end = atomic_load_explicit(ring->producer, memory_order_acquire);
	size_t count = 0, found;

	do {
		struct iovec records[RECORDS_PER_PUBLISH];
		size_t most = max - count < RECORDS_PER_PUBLISH ? max - count : RECORDS_PER_PUBLISH;
		size_t whole;

		found = collect(ring, end, most, &at, records, &whole);
		take(context, records, whole);
		atomic_store_explicit(ring->consumer, at, memory_order_release);
		count += found;
	} while (found == RECORDS_PER_PUBLISH && count < max);
	return count;
}

struct one_by_one {
	void (*take)(void *context, const void *record, size_t size);
	void *context;
};

static void take_each(void *context, const struct iovec *records, size_t count)
{
	const struct one_by_one *each = context;

	for (size_t i = 0; i < count; i++)
		each->take(each->context, records[i].iov_base, records[i].iov_len);
}

size_t ring_drain(struct ring *ring, size_t max,
		  void (*take)(void *context, const void *record, size_t size), void *context)
{
	struct one_by_one each = { take, context };

	return ring_drain_groups(ring, max, take_each, &each);
}

uint64_t ring_used_bytes(const struct ring *ring)
{
	uint64_t producer = atomic_load_explicit(ring->producer, memory_order_acquire);

	return producer - atomic_load_explicit(ring->consumer, memory_order_relaxed);
}
