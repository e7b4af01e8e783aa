/* What the kernel side knows of a sample: bpf/sampled.h. */
#include "tracer_private.h"

#include "proto/base/cleanup.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The only element of a map of maps. When it returns, all programs go by it: the kernel waits for
 * those that are under way (maybe_wait_bpf_programs(), since 4.18). */
static int set_inner(const struct bpf_map *outer, int fd)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(bpf_map__fd(outer), &zero, &fd, BPF_ANY) ? -errno : 0;
}

/* Of sampled blocks: bpf/sampled.h. */
static int make_set(struct tracer *tracer)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "dhat_sampled", 8, 8, TRACER_MAX_SAMPLED,
				&options);

	if (fd < 0)
		return -errno;
	tracer->set_fd = fd;
	tracer->bytes += (uint64_t)BUCKET_BYTES * TRACER_MAX_SAMPLED;
	return set_inner(tracer->bpf->maps.sampled, fd);
}

void tracer_sample_deinit(struct tracer *tracer)
{
	if (tracer->recorded)
		munmap(tracer->recorded, tracer->recorded_bytes);
	if (tracer->set_fd >= 0)
		close(tracer->set_fd);
}

void tracer_set_tells_all_frees(struct tracer *tracer, bool tells)
{
	tracer->bpf->bss->tells_all_frees = tells;
}

int tracer_add_sampled(struct tracer *tracer, uint64_t addr)
{
	uint64_t nothing = 0;

	if (bpf_map_update_elem(tracer->set_fd, &addr, &nothing, BPF_NOEXIST) == 0 ||
	    errno == EEXIST)
		return 0;
	return errno == E2BIG ? -ENOSPC : -errno;
}

int tracer_prepare_sample(struct tracer *tracer)
{
	return tracer->set_fd < 0 ? make_set(tracer) : 0;
}

void tracer_begin_sample(struct tracer *tracer, uint64_t sample_bytes)
{
	const struct dhat_sample sample = dhat_sample_of(sample_bytes);

	tracer->bpf->bss->tells_all_frees = 1;
	tracer->bpf->bss->sample.always_from = sample.always_from;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	tracer->bpf->bss->sample.inverse = sample.inverse;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* whoever found none is done when this returns */
	if (set_inner(tracer->bpf->maps.sampled, tracer->set_fd))
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

static int make_recorded(struct tracer *tracer, const uint64_t *bits, uint32_t shift)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	uint64_t bytes = (1ull << (64 - shift)) / 8;
	_cleanup_close_ int fd =
		bpf_map_create(BPF_MAP_TYPE_ARRAY, "dhat_recorded", 4, 8, bytes / 8, &options);
	void *words = MAP_FAILED;

	if (fd >= 0)
		words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (words == MAP_FAILED)
		return -errno;
	memcpy(words, bits, bytes);
	tracer->recorded = words;
	tracer->recorded_bytes = bytes;
	tracer->bytes += bytes;
	tracer->bpf->bss->recorded_shift = shift;
	return set_inner(tracer->bpf->maps.recorded, fd);
}

/* Bits of blocks that have gone may be taken away at any time, one word after the other. */
int tracer_set_recorded(struct tracer *tracer, const uint64_t *bits, uint32_t shift)
{
	uint32_t zero = 0;

	if (bits && !tracer->recorded)
		return make_recorded(tracer, bits, shift);
	if (bits)
		memcpy(tracer->recorded, bits, tracer->recorded_bytes);
	if (bits || !tracer->recorded)
		return 0;
	if (bpf_map_delete_elem(bpf_map__fd(tracer->bpf->maps.recorded), &zero))
		return -errno;
	munmap(tracer->recorded, tracer->recorded_bytes);
	tracer->bytes -= tracer->recorded_bytes;
	tracer->recorded = NULL;
	return 0;
}

uint64_t tracer_block_name(uint8_t domain, uint64_t addr)
{
	return addr | (uint64_t)domain << DHAT_USER_BITS;
}
