#include "trial.h"

#include "daemon/kernel/tracer.h"
#include "daemon/object/sites/allocators.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TRIAL_RING_BYTES (4u << 20)
#define TRIAL_CALLS 20000 /* enough to judge, and little to look through */
#define TRIAL_FEW 2000	  /* with fewer it is looked at longer */

DEFINE_CLEANUP_PTR(struct tracer *, tracer_free)

struct recording {
	struct conduct_call *calls;
	size_t count;
};

/* Probed as a realloc, a function tells its first two arguments and its result; but not those calls
 * of which the first is 0. */
static void take(void *context, const void *data, size_t size)
{
	struct recording *recording = context;
	const struct dhat_record_realloc_end *end = data;

	if (size < sizeof(*end) || end->head.type != DHAT_RECORD_REALLOC_END ||
	    end->site >= OBJECT_MAX_ENTRIES || recording->count == TRIAL_CALLS)
		return;
	recording->calls[recording->count++] = (struct conduct_call){
		.entry = end->site,
		.arg1 = end->old_addr,
		.arg2 = end->size_bytes,
		.result = end->new_addr,
	};
}

static const struct object_symbol *symbol_at(const struct object_desc *desc, uint64_t vaddr)
{
	for (size_t i = 0; i < desc->symbol_count; i++)
		if (desc->symbols[i].vaddr == vaddr && desc->symbols[i].name[0] == '+')
			return &desc->symbols[i];
	return NULL;
}

static size_t place_all(const struct object_desc *desc, struct uprobe_site *ret)
{
	static const struct allocator_function function = { .name = "entry",
							    .role = DHAT_ROLE_REALLOC,
							    .arg = { 0, 1 } };
	size_t count = 0;

	for (size_t i = 0; i < desc->entry_count; i++) {
		const struct object_symbol *symbol = symbol_at(desc, desc->entries[i].vaddr);
		union dhat_cookie_word word = { 0 };
		struct allocator_site site = { 0 };

		if (!symbol || allocators_place(desc, symbol, &function, true, false, &site))
			continue;
		word.parts = (struct dhat_cookie){
			.role = DHAT_ROLE_REALLOC,
			.phase = DHAT_PHASE_ENTRY,
			.domain = 1,
			.rsp_words = site.place.rsp_words,
			.site = i,
		};
		memcpy(word.parts.arg_reg, site.arg_reg, sizeof(word.parts.arg_reg));
		ret[count++] = (struct uprobe_site){ .file_offset = site.place_file_offset,
						     .cookie = word.word,
						     .wants_return = true };
		free(site.exits);
	}
	return count;
}

static void record(struct tracer *tracer, struct recording *recording)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	uint64_t began = clock_now_ns(CLOCK_MONOTONIC), spent = 0;

	tracer_open_gate(tracer);
	while (recording->count < TRIAL_CALLS &&
	       spent < (recording->count < TRIAL_FEW ? TRIAL_MAX_NS : TRIAL_NS)) {
		nanosleep(&pause, NULL);
		ring_drain(tracer_ring(tracer), SIZE_MAX, take, recording);
		spent = clock_now_ns(CLOCK_MONOTONIC) - began;
	}
	tracer_close_gate(tracer);
}

int target_try_entries(struct target *target, int fd, const struct object_desc *desc,
		       struct trial *ret, struct dhat_error *err)
{
	_cleanup_(tracer_free_ptr) struct tracer *tracer = NULL;
	_cleanup_free_ struct conduct_call *calls = calloc(TRIAL_CALLS, sizeof(*calls));
	struct tracer_options options = {
		.pid = target->pid,
		.ring_bytes = TRIAL_RING_BYTES,
		.kind = target->kind,
		.closes_on_exec = true,
	};
	struct uprobe_site sites[OBJECT_MAX_ENTRIES];
	struct recording recording = { .calls = calls };
	struct conduct conduct = { .roles = ret->roles };
	uint64_t counters[DHAT_CTR_COUNT] = { 0 };
	size_t count = place_all(desc, sites);
	char path[64];
	int error;

	*ret = (struct trial){ 0 };
	if (!calls)
		return -ENOMEM;
	if (!count)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	error = tracer_new(&options, &tracer, err);
	if (error == 0)
		error = tracer_attach(tracer, path, sites, count, err);
	if (error)
		return error;
	record(tracer, &recording);
	tracer_counters(tracer, counters);
	tracer_detach(tracer);
	error = conduct_judge(calls, recording.count, desc->entry_count, &conduct);
	ret->call_count = recording.count;
	/* with gaps in it a record proves nothing */
	ret->is_proven = error == 0 && conduct.is_proven && !counters[DHAT_CTR_DROP_REALLOC] &&
			 !counters[DHAT_CTR_SHED_ALLOC];
	return error;
}
