#pragma once
/* ring: the consumer's end of a BPF ring buffer (kernel/bpf/ringbuf.c).
 *
 * Like libbpf's, but the consumer position is published for a batch and not for each record: the
 * producers read it at every reservation, and a line of cache that goes back and forth for each
 * record costs them more than the record.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

/* The map's fd stays the caller's. bytes: max_entries of the map. */
int ring_open(int map_fd, uint32_t bytes, struct ring **ret);
void ring_close(struct ring *ring);

/* Hand at most max records to `take`, in their order; how many there were, those included that the
 * producer gave up. A record is aligned to 8, and there until `take` returns. */
size_t ring_drain(struct ring *ring, size_t max,
		  void (*take)(void *context, const void *record, size_t size), void *context);
/* The same, with as many at a time as are published together. */
struct iovec;
size_t ring_drain_groups(struct ring *ring, size_t max,
			 void (*take)(void *context, const struct iovec *records, size_t count),
			 void *context);
uint64_t ring_used_bytes(const struct ring *ring);
