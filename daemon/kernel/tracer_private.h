#pragma once
/* tracer_private: what tracer.c and tracer_sample.c know of a tracer. */
#include "footprint.h"
#include "holder.h"
#include "tracer.h"

#include "bpf/dhat_sample.h"
#include "bpf/machine.h"
#include "bpf/unwind_types.h"

#include "bpf/dhat.skel.h" /* uses types of the above */

#include <pthread.h>

struct placed { /* probes of one file */
	char *path;
	struct uprobe_site *sites;
	size_t count;
};

struct tracer {
	struct dhat_bpf *bpf;
	struct ring *ring;
	struct holder *links;
	struct holder *anchors; /* hold the others' breakpoints while the main thread is gone */
	struct footprint footprint;
	struct placed *placed;
	size_t placed_count, placed_capacity;
	pthread_mutex_t anchor_lock; /* guards what is placed, the links and the anchor */
	pid_t anchor;		     /* a thread */
	uint32_t anchor_gaps;
	uint32_t place_count, place_room; /* of bpf/places.h */
	struct dhat_mapping *mappings;	  /* both banks, shared with the kernel */
	enum uprobe_kind kind;
	pid_t pid;
	uint64_t bytes;	    /* tracer_bytes() */
	int set_fd;	    /* of the sample; -1: there is none */
	uint64_t *recorded; /* tracer_set_recorded(), shared with the kernel; or NULL */
	uint64_t recorded_bytes;
	uint64_t stacks_when_forgot; /* DHAT_CTR_STACKS at the last tracer_forget_old_stacks() */
};

/* kernel/bpf: what a map takes when it is empty. */
#define BUCKET_BYTES 16

void tracer_sample_deinit(struct tracer *tracer);
