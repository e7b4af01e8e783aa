#include "doubt.h"

/* ---- frees -------------------------------------------------------------------------------- */

static void judge_window(struct doubt_frees *frees, uint64_t allocs, uint64_t unknown)
{
	bool is_suspicious = unknown >= DOUBT_WINDOW_FREES && unknown > allocs + allocs / 4;
	bool is_calm = allocs >= DOUBT_WINDOW_FREES && unknown < allocs / 10;

	if (!frees->is_settled) {
		frees->is_settled = true;
		return;
	}
	frees->suspicious = is_suspicious ? frees->suspicious + 1 : 0;
	/* a process that does nothing proves nothing */
	frees->calm = is_calm ? frees->calm + 1 : is_suspicious ? 0 : frees->calm;
	if (frees->suspicious >= DOUBT_WINDOWS)
		frees->keep_coming = true;
	else if (frees->calm >= DOUBT_WINDOWS)
		frees->keep_coming = false;
}

void doubt_count_frees(struct doubt_frees *frees, uint64_t now_ns, uint64_t allocs,
		       uint64_t unknown_frees)
{
	if (frees->window_start_ns && now_ns - frees->window_start_ns < DOUBT_WINDOW_NS)
		return;
	/* frees that turn out to be an allocator's own are taken back (heap.h) */
	if (frees->window_start_ns)
		judge_window(frees, allocs - frees->allocs,
			     unknown_frees > frees->unknown_frees
				     ? unknown_frees - frees->unknown_frees
				     : 0);
	frees->window_start_ns = now_ns;
	frees->allocs = allocs;
	frees->unknown_frees = unknown_frees;
}

bool doubt_exceeds(uint64_t unknown_frees, uint64_t bytes_before)
{
	return unknown_frees > bytes_before / DOUBT_BLOCK_BYTES;
}

/* ---- memory ------------------------------------------------------------------------------- */

bool doubt_grows(const struct doubt_memory *begin, const struct doubt_memory *now)
{
	uint64_t grown, live;

	if (now->anonymous_bytes <= begin->anonymous_bytes)
		return false;
	grown = now->anonymous_bytes - begin->anonymous_bytes;
	live = now->live_bytes > begin->live_bytes ? now->live_bytes - begin->live_bytes : 0;
	return grown > live + live / 2 + DOUBT_MEMORY_BYTES;
}

enum doubt_finding doubt_weigh(const struct doubt_weights *weights, uint64_t *ret_bytes)
{
	uint64_t told = weights->free_bytes + weights->thread_count * DOUBT_STACK_BYTES;
	uint64_t bytes = weights->unknown_bytes > told ? weights->unknown_bytes - told : 0;

	*ret_bytes = bytes;
	if (bytes < DOUBT_MEMORY_BYTES || bytes <= weights->known_bytes)
		return DOUBT_NONE;
	return weights->has_generated_code ? DOUBT_OWN_HEAP : DOUBT_UNKNOWN;
}
