#include "allocator_flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/dhat_abi.h"
#include "../proto/cleanup.h"
#include "flow.h"

#define MAX_EXITS 512 /* of one function, its tail-called ones' included */
#define MAX_EXIT_FUNCTIONS 64

/* A thunk has this many instructions at most; with a way out of its own (a check for null, for an
 * overflow) fewer, since more could already do the work. */
#define MAX_THUNK 24
#define MAX_CHECKING_THUNK 10
#define MAX_THUNK_CHAIN 4

struct exit_search {
	const struct object_desc *desc;
	const struct object_symbol *functions[MAX_EXIT_FUNCTIONS]; /* seen, or to be looked at */
	size_t function_count;
	uint64_t *offsets; /* in the file */
	size_t count;
};

static const struct object_symbol *code_at(const struct object_desc *desc, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < desc->stub_count; i++)
		if (desc->stubs[i].vaddr == vaddr)
			vaddr = desc->stubs[i].target;
	for (i = 0; i < desc->symbol_count; i++)
		if (desc->symbols[i].vaddr == vaddr)
			return &desc->symbols[i];
	return NULL;
}

static bool enqueue(struct exit_search *search, const struct object_symbol *symbol)
{
	size_t i;

	for (i = 0; i < search->function_count; i++)
		if (search->functions[i] == symbol)
			return true;
	if (!symbol || search->function_count == MAX_EXIT_FUNCTIONS)
		return false;
	search->functions[search->function_count++] = symbol;
	return true;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int search_function(struct exit_search *search, const struct object_symbol *symbol)
{
	_cleanup_(prologue_exits_deinit) struct prologue_exits exits = { 0 };
	uint64_t *grown;
	size_t i;
	int r;

	r = prologue_find_exits(symbol->code, symbol->code_size, symbol->vaddr,
				search->desc->noreturn, search->desc->noreturn_count, &exits);
	if (r < 0)
		return r == -ENOMEM ? r : -ENOTSUP;
	for (i = 0; i < exits.tail_count; i++)
		if (!enqueue(search, code_at(search->desc, exits.tails[i])))
			return -ENOTSUP;
	if (search->count + exits.ret_count > MAX_EXITS)
		return -ENOTSUP;
	if (exits.ret_count == 0)
		return 0;
	grown = reallocarray(search->offsets, search->count + exits.ret_count, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	search->offsets = grown;
	for (i = 0; i < exits.ret_count; i++)
		grown[search->count++] = symbol->file_offset + exits.rets[i];
	return 0;
}

int allocator_find_exits(const struct object_desc *desc, const struct object_symbol *symbol,
			 uint64_t **ret, size_t *ret_count)
{
	struct exit_search search = { .desc = desc };
	size_t i, kept = 0;
	int r = 0;

	enqueue(&search, symbol);
	for (i = 0; i < search.function_count && r == 0; i++)
		r = search_function(&search, search.functions[i]);
	if (r == 0 && search.count == 0)
		r = -ENOTSUP;
	if (r < 0) {
		free(search.offsets);
		return r;
	}
	qsort(search.offsets, search.count, sizeof(*search.offsets), compare_u64);
	for (i = 0; i < search.count; i++)
		if (kept == 0 || search.offsets[kept - 1] != search.offsets[i])
			search.offsets[kept++] = search.offsets[i];
	*ret = search.offsets;
	*ret_count = kept;
	return 0;
}

static bool is_free(const struct allocator_site *site)
{
	return !allocators_role_returns(site->function.role);
}

static bool has_site(const struct allocator_site *sites, size_t count,
		     const struct object_symbol *symbol, bool frees)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (sites[i].symbol->vaddr == symbol->vaddr && !sites[i].is_refused &&
		    sites[i].returns != ALLOCATOR_RETURNS_UNKNOWN && is_free(&sites[i]) == frees)
			return true;
	return false;
}

static bool is_thunk(const struct flow *flow)
{
	return !flow->has_indirect && !flow->has_undecodable && !flow->runs_over_end &&
	       !flow->jumps_to_entry && flow->call_count == 0 && flow->tail_count > 0 &&
	       flow->instruction_count <= (flow->ret_count ? MAX_CHECKING_THUNK : MAX_THUNK);
}

static bool forwards(const struct object_desc *desc, const struct allocator_site *sites,
		     size_t count, const struct object_symbol *symbol, bool frees, int depth)
{
	_cleanup_(flow_deinit) struct flow flow = { 0 };
	const struct object_symbol *next;
	size_t i;

	if (depth == MAX_THUNK_CHAIN || symbol->code_size == 0 ||
	    flow_follow(symbol->code, symbol->code_size, symbol->vaddr, desc->noreturn,
			desc->noreturn_count, &flow) < 0 ||
	    !is_thunk(&flow))
		return false;
	for (i = 0; i < flow.tail_count; i++) {
		next = code_at(desc, flow.tails[i]);
		if (!next || next == symbol ||
		    (!has_site(sites, count, next, frees) &&
		     !forwards(desc, sites, count, next, frees, depth + 1)))
			return false;
	}
	return true;
}

bool allocator_forwards(const struct object_desc *desc, const struct allocator_site *sites,
			size_t count, const struct allocator_site *site)
{
	return !site->is_refused && forwards(desc, sites, count, site->symbol, is_free(site), 0);
}
