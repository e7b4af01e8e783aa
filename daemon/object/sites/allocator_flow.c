#include "allocator_flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/object/machine/arguments.h"
#include "daemon/object/machine/flow.h"
#include "daemon/object/machine/machine.h"
#include "proto/base/cleanup.h"

#define MAX_EXIT_FUNCTIONS 64

/* A thunk has this many instructions at most; with a way out of its own (a check for null, for an
 * overflow) fewer, since more could already do the work. */
#define MAX_THUNK 24
#define MAX_CHECKING_THUNK 10
#define MAX_THUNK_CHAIN 4

struct exit_search {
	const struct object *object;
	const struct object_symbol *functions[MAX_EXIT_FUNCTIONS]; /* seen, or to be looked at */
	size_t function_count;
	struct site_exit *exits;
	size_t count;
};

/* Through a PLT entry, where there is one. */
static uint64_t jump_target(const struct object *object, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < object->stub_count; i++)
		if (object->stubs[i].vaddr == vaddr)
			return object->stubs[i].target;
	return vaddr;
}

static const struct object_symbol *code_at(const struct object *object, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < object->symbol_count; i++)
		if (object->symbols[i].vaddr == vaddr)
			return &object->symbols[i];
	return NULL;
}

static int enqueue(struct exit_search *search, const struct object_symbol *symbol)
{
	size_t i;

	for (i = 0; i < search->function_count; i++)
		if (search->functions[i] == symbol)
			return 0;
	if (!symbol || search->function_count == MAX_EXIT_FUNCTIONS)
		return -ENOTSUP;
	search->functions[search->function_count++] = symbol;
	return 0;
}

static int add_exit(struct exit_search *search, struct site_exit exit)
{
	struct site_exit *grown;

	if (search->count == SITE_MAX_EXITS)
		return -ENOTSUP;
	grown = reallocarray(search->exits, search->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	search->exits = grown;
	grown[search->count++] = exit;
	return 0;
}

static int follow_tail(struct exit_search *search, const struct object_symbol *symbol,
		       const struct flow_tail *tail)
{
	uint64_t target = jump_target(search->object, tail->target);

	if (target != OBJECT_RETURNS_ARGUMENT)
		return enqueue(search, code_at(search->object, target));
	/* A probe on a conditional jump is hit by calls that go on, too. */
	if (tail->is_conditional)
		return -ENOTSUP;
	return add_exit(search,
			(struct site_exit){ .file_offset = symbol->file_offset + tail->offset,
					    .result_reg = this_machine.first_argument_register });
}

static int add_ret(struct exit_search *search, const struct object_symbol *symbol, uint64_t offset)
{
	struct site_exit exit = { .file_offset = symbol->file_offset + offset,
				  .result_reg = this_machine.result_register };

	prologue_describe_exit(symbol->code, symbol->code_size, offset, &exit.by_us);
	return add_exit(search, exit);
}

static int search_function(struct exit_search *search, const struct object_symbol *symbol)
{
	_cleanup_(prologue_exits_deinit) struct prologue_exits exits = { 0 };
	size_t i;
	int r;

	r = prologue_find_exits(symbol->code, symbol->code_size, symbol->vaddr,
				search->object->noreturn, search->object->noreturn_count, &exits);
	for (i = 0; i < exits.tail_count && r == 0; i++)
		r = follow_tail(search, symbol, &exits.tails[i]);
	for (i = 0; i < exits.ret_count && r == 0; i++)
		r = add_ret(search, symbol, exits.rets[i]);
	return r < 0 && r != -ENOMEM ? -ENOTSUP : r;
}

static int compare_exits(const void *a, const void *b)
{
	const struct site_exit *x = a, *y = b;

	return x->file_offset < y->file_offset ? -1 : x->file_offset > y->file_offset;
}

int allocator_find_exits(const struct object *object, const struct object_symbol *symbol,
			 struct site_exit **ret, size_t *ret_count)
{
	struct exit_search search = { .object = object };
	size_t i, kept = 0;
	int r = enqueue(&search, symbol);

	for (i = 0; i < search.function_count && r == 0; i++)
		r = search_function(&search, search.functions[i]);
	if (r == 0 && search.count == 0)
		r = -ENOTSUP;
	if (r < 0) {
		free(search.exits);
		return r;
	}
	qsort(search.exits, search.count, sizeof(*search.exits), compare_exits);
	for (i = 0; i < search.count; i++)
		if (kept == 0 || search.exits[kept - 1].file_offset != search.exits[i].file_offset)
			search.exits[kept++] = search.exits[i];
	*ret = search.exits;
	*ret_count = kept;
	return 0;
}

static bool is_free(const struct allocator_site *site)
{
	return !role_returns(site->function.role);
}

static const struct allocator_site *site_at(const struct allocator_site *sites, size_t count,
					    const struct object_symbol *symbol, bool frees)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (sites[i].symbol->vaddr == symbol->vaddr && !sites[i].is_refused &&
		    sites[i].function.role != DHAT_ROLE_UNKNOWN &&
		    sites[i].function.role != DHAT_ROLE_CONTROL && is_free(&sites[i]) == frees)
			return &sites[i];
	return NULL;
}

/* Which argument is the block that a call takes; PROLOGUE_LOST: it takes none. */
static uint8_t block_argument(const struct allocator_site *site)
{
	switch (site->function.role) {
	case DHAT_ROLE_FREE:
	case DHAT_ROLE_REALLOC:
	case DHAT_ROLE_REALLOCF:
	case DHAT_ROLE_RESIZE:
	case DHAT_ROLE_REALLOCARRAY:
		return site->function.arg[0];
	default:
		return PROLOGUE_LOST;
	}
}

/* Where a function that jumps to target puts the block that is its own argument `block`; a header
 * before each block, say, makes it another one. PROLOGUE_LOST: nowhere that is known. */
static uint8_t handed_on(const struct object_symbol *symbol, uint64_t target, uint8_t block)
{
	uint8_t args[PROLOGUE_ARGS];

	if (arguments_handed_on(symbol->code, symbol->code_size, symbol->vaddr, target, args))
		return PROLOGUE_LOST;
	for (uint8_t i = 0; i < PROLOGUE_ARGS; i++)
		if (args[i] == block)
			return i;
	return PROLOGUE_LOST;
}

bool allocator_calls_free(const struct object *object, const struct allocator_site *sites,
			  size_t count, const struct allocator_site *site)
{
	const struct object_symbol *symbol = site->symbol, *next;
	_cleanup_(flow_deinit) struct flow flow = { 0 };
	size_t i;

	if (symbol->code_size == 0 ||
	    flow_follow(symbol->code, symbol->code_size, symbol->vaddr, object->noreturn,
			object->noreturn_count, &flow) < 0)
		return false;
	for (i = 0; i < flow.call_count + flow.target_count; i++) {
		next = code_at(object, i < flow.call_count
					       ? jump_target(object, flow.calls[i])
					       : symbol->vaddr + flow.targets[i - flow.call_count]);
		if (next && next->vaddr != symbol->vaddr && site_at(sites, count, next, true))
			return true;
	}
	/* one that jumps on with the same block is told by the block's address */
	for (i = 0; i < flow.tail_count; i++) {
		next = code_at(object, jump_target(object, flow.tails[i].target));
		if (next && next->vaddr != symbol->vaddr && site_at(sites, count, next, true) &&
		    handed_on(symbol, flow.tails[i].target, block_argument(site)) == PROLOGUE_LOST)
			return true;
	}
	return false;
}

static bool is_thunk(const struct flow *flow)
{
	return !flow->has_indirect && !flow->has_undecodable && !flow->runs_over_end &&
	       !flow->jumps_to_entry && flow->call_count == 0 && flow->tail_count > 0 &&
	       flow->instruction_count <= (flow->ret_count ? MAX_CHECKING_THUNK : MAX_THUNK);
}

/* block: which argument is the block; PROLOGUE_LOST: there is none. */
static bool forwards(const struct object *object, const struct allocator_site *sites, size_t count,
		     const struct object_symbol *symbol, bool frees, uint8_t block, int depth)
{
	_cleanup_(flow_deinit) struct flow flow = { 0 };
	const struct object_symbol *next;
	const struct allocator_site *site;
	size_t i;

	if (depth == MAX_THUNK_CHAIN || symbol->code_size == 0 ||
	    flow_follow(symbol->code, symbol->code_size, symbol->vaddr, object->noreturn,
			object->noreturn_count, &flow) < 0 ||
	    !is_thunk(&flow))
		return false;
	for (i = 0; i < flow.tail_count; i++) {
		uint8_t there = PROLOGUE_LOST;

		next = code_at(object, jump_target(object, flow.tails[i].target));
		if (!next || next == symbol)
			return false;
		if (block != PROLOGUE_LOST)
			there = handed_on(symbol, flow.tails[i].target, block);
		if (block != PROLOGUE_LOST && there == PROLOGUE_LOST)
			return false; /* what goes on is not the block that came */
		site = site_at(sites, count, next, frees);
		if (site && block != PROLOGUE_LOST && block_argument(site) != PROLOGUE_LOST &&
		    block_argument(site) != there)
			return false;
		if (!site && !forwards(object, sites, count, next, frees, there, depth + 1))
			return false;
	}
	return true;
}

bool allocator_forwards(const struct object *object, const struct allocator_site *sites,
			size_t count, const struct allocator_site *site)
{
	bool is_unknown = site->function.role == DHAT_ROLE_UNKNOWN;

	if (site->is_refused || site->function.role == DHAT_ROLE_CONTROL)
		return false;
	return forwards(object, sites, count, site->symbol, is_free(site), block_argument(site),
			0) ||
	       (is_unknown &&
		forwards(object, sites, count, site->symbol, false, PROLOGUE_LOST, 0));
}

/* ---- written over another ------------------------------------------------------------------ */

/* operator new[] calls operator new, that calls malloc. */
#define MAX_OVER_CHAIN 3

static bool is_over(const struct object *object, const struct allocator_site *sites, size_t count,
		    const struct allocator_site *site, int depth);

/* The addresses that stand for a call of one that is counted: as if it did not return, what can be
 * reached without it is what is looked at. */
static uint64_t *list_counted(const struct object *object, const struct allocator_site *sites,
			      size_t count, const struct allocator_site *site, int depth,
			      size_t *ret_count)
{
	uint64_t *list =
		calloc(count + object->stub_count + object->noreturn_count + 1, sizeof(*list));
	size_t i, k, n = 0;

	if (!list)
		return NULL;
	for (i = 0; i < object->noreturn_count; i++)
		list[n++] = object->noreturn[i];
	for (i = 0; i < count; i++) {
		if (&sites[i] == site || sites[i].is_refused || is_free(&sites[i]) ||
		    (sites[i].is_operator && !is_over(object, sites, count, &sites[i], depth + 1)))
			continue;
		list[n++] = sites[i].symbol->vaddr;
	}
	for (i = 0; i < object->stub_count; i++)
		for (k = object->noreturn_count; k < n; k++)
			if (object->stubs[i].target == list[k]) {
				list[n++] = object->stubs[i].vaddr;
				break;
			}
	*ret_count = n;
	return list;
}

static bool is_counted(const uint64_t *list, size_t count, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (list[i] == vaddr)
			return true;
	return false;
}

static bool is_over(const struct object *object, const struct allocator_site *sites, size_t count,
		    const struct allocator_site *site, int depth)
{
	const struct object_symbol *symbol = site->symbol;
	_cleanup_(flow_deinit) struct flow flow = { 0 };
	_cleanup_free_ uint64_t *counted = NULL;
	size_t i, counted_count = 0;

	if (depth == MAX_OVER_CHAIN || symbol->is_ifunc || symbol->code_size == 0)
		return false;
	counted = list_counted(object, sites, count, site, depth, &counted_count);
	if (!counted ||
	    flow_follow(symbol->code, symbol->code_size, symbol->vaddr, counted, counted_count,
			&flow) < 0 ||
	    flow.has_indirect || flow.has_undecodable || flow.runs_over_end ||
	    flow.jumps_to_entry || flow.ret_count)
		return false;
	for (i = 0; i < flow.tail_count; i++)
		if (!is_counted(counted, counted_count, jump_target(object, flow.tails[i].target)))
			return false;
	return true;
}

bool allocator_is_over(const struct object *object, const struct allocator_site *sites,
		       size_t count, const struct allocator_site *site)
{
	return is_over(object, sites, count, site, 0);
}
