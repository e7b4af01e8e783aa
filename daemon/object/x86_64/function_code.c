#include "function_code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define MIN_SLOTS 512
#define MAX_SLOTS (2 * FUNCTION_MAX_PLACES)

int function_code_init(struct function_code *f, struct code_functions *functions)
{
	*f = (struct function_code){ .functions = functions };
	f->slots = calloc(MAX_SLOTS, sizeof(*f->slots));
	return f->slots ? 0 : -ENOMEM;
}

void function_code_deinit(struct function_code *f)
{
	free(f->places);
	free(f->slots);
	free(f->work);
}

/* ---- places ------------------------------------------------------------------------------- */

/* The slot of addr, or the free one where it belongs. */
static uint32_t find_slot(const struct function_code *f, uint64_t addr)
{
	uint32_t slot = (uint32_t)((addr * 0x9e3779b97f4a7c15ULL) >> 32); /* 2^64/golden ratio */
	uint32_t at;

	for (;; slot++) {
		slot &= (uint32_t)f->slot_count - 1;
		at = f->slots[slot];
		if (at >= f->place_count || f->places[at].slot != slot ||
		    f->places[at].addr == addr)
			return slot;
	}
}

/* NULL if it was not seen. Stands until the next one is added. */
static struct place *find_place(const struct function_code *f, uint64_t addr)
{
	uint32_t slot = find_slot(f, addr), at = f->slots[slot];

	return at < f->place_count && f->places[at].slot == slot ? &f->places[at] : NULL;
}

static void put_into_slot(struct function_code *f, size_t at)
{
	f->places[at].slot = find_slot(f, f->places[at].addr);
	f->slots[f->places[at].slot] = (uint32_t)at;
}

static int add_place(struct function_code *f, const struct place *place)
{
	size_t i, count = f->place_count;

	if (array_make_room(&f->places, &f->place_capacity, count))
		return -ENOMEM;
	if (2 * count >= f->slot_count && f->slot_count < MAX_SLOTS) {
		f->slot_count *= 2;
		for (f->place_count = i = 0; i < count; i++) {
			put_into_slot(f, i);
			f->place_count++;
		}
	}
	f->places[count] = *place;
	put_into_slot(f, count);
	f->place_count++;
	return 0;
}

/* Something contradicts on a way that goes on behind this call; 0: it is certain. */
static void contradict(struct function_code *f, uint64_t behind)
{
	f->is_inconsistent = true;
	f->blamed = behind;
}

/* ---- ways --------------------------------------------------------------------------------- */

static int go_to(struct function_code *f, uint64_t addr, const struct place *place)
{
	const struct stack_place *stack = &place->stack;

	if (!stack->has_rsp && !stack->has_rbp && !stack->is_outermost) {
		f->has_ret = true; /* who knows */
		return 0;
	}
	if (!code_functions_range(f->functions, addr))
		return 0; /* leads to code with CFI */
	if (array_make_room(&f->work, &f->work_capacity, f->work_count))
		return -ENOMEM;
	f->work[f->work_count] = *place;
	f->work[f->work_count++].addr = addr;
	return 0;
}

static bool is_at_entry_height(const struct place *place)
{
	return place->stack.has_rsp && place->stack.cfa_from_rsp == 8;
}

/* To the next instruction; not into the next function, unless it may begin so: there was a call
 * before that does not return, of code that is not here. */
static int go_on(struct function_code *f, uint64_t addr, const struct place *place)
{
	if (!is_at_entry_height(place) && code_functions_find(f->functions, addr))
		return 0;
	return go_to(f, addr, place);
}

/* The address that a branch or a rip-relative operand names; 0 if it is not in the code. */
static uint64_t target_of(const struct stack_instruction *at, unsigned int operand)
{
	ZyanU64 target = 0;

	if (ZYAN_FAILED(ZydisCalcAbsoluteAddress(&at->insn, &at->op[operand], at->addr, &target)))
		return 0;
	return target;
}

static bool returns(const struct function_code *f, uint32_t number)
{
	return f->functions->list[number].state != FUNCTION_DOES_NOT_RETURN;
}

static int add_call(struct function_code *f, uint32_t callee)
{
	f->calls_unread |= f->functions->list[callee].state == FUNCTION_UNREAD;
	return code_functions_add_call(f->functions, f->number, callee);
}

/* To where a jump leads: if that is another function, by its beginning and nothing else. */
static int follow_branch(struct function_code *f, const struct stack_instruction *at,
			 const struct place *place)
{
	uint64_t target = target_of(at, 0);
	uint32_t callee = code_functions_find(f->functions, target);

	if (callee == f->number)
		callee = 0;
	if (!callee && code_functions_range(f->functions, target))
		return go_to(f, target, place);
	if (!is_at_entry_height(place)) {
		/* code with CFI, or entered with more on the stack than it says of itself */
		f->has_ret |= !callee;
		return 0;
	}
	f->has_ret |=
		callee ? returns(f, callee) : !code_functions_is_noreturn(f->functions, target);
	return callee ? add_call(f, callee) : 0;
}

static bool is_same(const struct stack_place *a, const struct stack_place *b)
{
	return a->cfa_from_rsp == b->cfa_from_rsp && a->cfa_from_rbp == b->cfa_from_rbp &&
	       a->rbp == b->rbp && a->has_rsp == b->has_rsp && a->has_rbp == b->has_rbp &&
	       a->is_outermost == b->is_outermost && a->rax == b->rax &&
	       a->is_cloned == b->is_cloned;
}

static void add_switch(struct function_code *f, struct stack_place stack)
{
	size_t i;

	stack.rax = -1;
	for (i = 0; i < f->switch_count; i++)
		if (is_same(&f->switches[i], &stack))
			return;
	if (f->switch_count < FUNCTION_MAX_SWITCHES)
		f->switches[f->switch_count++] = stack;
}

static int follow_jump(struct function_code *f, const struct stack_instruction *at,
		       const struct place *place)
{
	if (at->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return follow_branch(f, at, place);
	/* a table, or a pointer to another function */
	if (!is_at_entry_height(place))
		add_switch(f, place->stack);
	f->has_ret |= !stack_code_is_based(&at->op[0], ZYDIS_REGISTER_RIP) ||
		      !code_functions_is_noreturn(f->functions, target_of(at, 0));
	return 0;
}

static bool is_dead(const struct function_code *f, uint64_t call)
{
	size_t i;

	for (i = 0; i < f->dead_call_count; i++)
		if (f->dead_calls[i] == call)
			return true;
	return false;
}

/* What a call calls, if that is told: *ret is the function's number, 0 if it is not one of ours.
 * *ret_returns: may it return? */
static int find_callee(struct function_code *f, const struct stack_instruction *at, uint32_t *ret,
		       bool *ret_returns)
{
	bool is_direct = at->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
	bool is_slot = stack_code_is_based(&at->op[0], ZYDIS_REGISTER_RIP);
	uint64_t target = is_direct || is_slot ? target_of(at, 0) : 0;
	int r = 0;

	*ret = 0;
	*ret_returns = !target || !code_functions_is_noreturn(f->functions, target);
	if (is_direct)
		r = code_functions_add(f->functions, target);
	if (is_direct && r == 0)
		*ret = code_functions_find(f->functions, target);
	if (*ret)
		*ret_returns = *ret_returns && returns(f, *ret);
	return *ret ? add_call(f, *ret) : r;
}

/* Where a call goes on; nowhere if what it calls does not return. */
static int follow_call(struct function_code *f, const struct stack_instruction *at,
		       struct place *place)
{
	uint32_t callee;
	bool may_return;
	int r;

	r = find_callee(f, at, &callee, &may_return);
	if (r < 0 || !may_return || is_dead(f, at->addr))
		return r;
	/* psABI 3.2.2: calls are made with rsp a multiple of 16, as CFAs are. Where one is not, and
	   it is not certain that one gets there, one does not. */
	if ((place->behind || f->is_guess) && place->stack.has_rsp &&
	    place->stack.cfa_from_rsp % 16)
		contradict(f, place->behind);
	if (!callee || f->functions->list[callee].state != FUNCTION_RETURNS)
		place->behind = at->addr;
	return go_on(f, at->next, place);
}

/* To whatever may run after the instruction. */
static int follow(struct function_code *f, const struct stack_instruction *at, struct place *place)
{
	int r = 0;

	switch (at->insn.meta.category) {
	case ZYDIS_CATEGORY_RET:
		f->has_ret = true;
		if (!place->stack.is_outermost && !is_at_entry_height(place))
			contradict(f, place->behind);
		return 0;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return follow_jump(f, at, place);
	case ZYDIS_CATEGORY_CALL:
		return follow_call(f, at, place);
	case ZYDIS_CATEGORY_COND_BR:
		r = follow_branch(f, at, place);
		break;
	default:
		break;
	}
	switch (at->insn.mnemonic) {
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_INT3:
		return r;
	case ZYDIS_MNEMONIC_LEA:
		if (stack_code_is_based(&at->op[1], ZYDIS_REGISTER_RIP))
			r = code_functions_add_pointer(f->functions, target_of(at, 1));
		break;
	default:
		break;
	}
	return r < 0 ? r : go_on(f, at->next, place);
}

/* What both of two ways to a place say. False: nothing that tells the CFA. */
static bool agree(const struct stack_place *a, const struct stack_place *b, struct stack_place *ret)
{
	bool is_rsp = a->has_rsp && b->has_rsp && a->cfa_from_rsp == b->cfa_from_rsp;
	bool is_rbp = a->has_rbp && b->has_rbp && a->cfa_from_rbp == b->cfa_from_rbp;

	*ret = *a;
	if (a->rbp != b->rbp)
		ret->rbp = DHAT_FP_UNDEFINED;
	if (a->rax != b->rax)
		ret->rax = -1;
	ret->is_cloned &= b->is_cloned;
	ret->has_rsp = is_rsp;
	ret->has_rbp = is_rbp;
	ret->cfa_from_rsp = is_rsp ? a->cfa_from_rsp : 0;
	ret->cfa_from_rbp = is_rbp ? a->cfa_from_rbp : 0;
	return a->is_outermost == b->is_outermost && (is_rsp || is_rbp || a->is_outermost);
}

/* Two ways lead here. What they disagree about is lost from here on, and the rest is looked at
 * again: rbp in functions that do not return and need not save it, rsp where it is told by rbp.
 * Whether `place` has changed. */
static bool join(struct function_code *f, struct place *place, const struct place *other)
{
	struct stack_place joined;

	if (!agree(&place->stack, &other->stack, &joined)) {
		contradict(f, other->behind ?: place->behind);
		return false;
	}
	if (!other->behind)
		place->behind = 0;
	if (is_same(&place->stack, &joined))
		return false;
	if (f->is_guess) { /* nothing that is known is given up for it */
		contradict(f, other->behind);
		return false;
	}
	place->stack = joined;
	return true;
}

static int visit(struct function_code *f, struct place *way)
{
	const struct cfi_code_range *range = code_functions_range(f->functions, way->addr);
	struct place *place = find_place(f, way->addr);
	struct stack_instruction at; /* a kilobyte: not cleared each time */

	if (place) {
		if (!join(f, place, way))
			return 0;
		*way = *place;
	}
	f->instruction_count++;
	if (!decode(range->bytes + (way->addr - range->start), range->end - way->addr, &at.insn,
		    at.op)) {
		contradict(f, way->behind);
		return 0;
	}
	at.addr = way->addr;
	at.next = at.addr + at.insn.length;
	way->stack.length = at.insn.length;
	if (!place && f->place_count == FUNCTION_MAX_PLACES)
		contradict(f, 0);
	else if (!place && add_place(f, way))
		return -ENOMEM;
	stack_code_apply(&way->stack, &at);
	return follow(f, &at, way);
}

static int visit_all(struct function_code *f)
{
	struct place way;
	int r = 0;

	while (r == 0 && f->work_count && !f->is_inconsistent) {
		way = f->work[--f->work_count];
		r = visit(f, &way);
		if (f->number == 0) /* another function's code may stand behind the outermost */
			f->is_inconsistent = false;
	}
	f->work_count = 0;
	return r;
}

/* ---- jumps by tables ---------------------------------------------------------------------- */

static uint64_t skip_padding(const struct cfi_code_range *range, uint64_t addr)
{
	ZydisDecodedInstruction insn;

	while (addr < range->end &&
	       decode(range->bytes + (addr - range->start), range->end - addr, &insn, NULL) &&
	       (insn.mnemonic == ZYDIS_MNEMONIC_NOP || insn.mnemonic == ZYDIS_MNEMONIC_INT3))
		addr += insn.length;
	return addr;
}

/* Is the code at addr consistent with that stack? Else it is as if nobody had looked. */
static int guess(struct function_code *f, uint64_t addr, const struct stack_place *stack, bool *ret)
{
	const struct place way = { .stack = *stack };
	size_t known = f->place_count;
	bool is_again;
	int r;

	do {
		f->is_inconsistent = false;
		r = go_to(f, addr, &way);
		if (r == 0)
			r = visit_all(f);
		*ret = !f->is_inconsistent;
		if (!*ret)
			f->place_count = known;
		is_again = !*ret && f->blamed && f->dead_call_count < FUNCTION_MAX_DEAD_CALLS;
		if (is_again)
			f->dead_calls[f->dead_call_count++] = f->blamed;
	} while (r == 0 && is_again);
	f->is_inconsistent = false;
	return r;
}

static int guess_any(struct function_code *f, uint64_t addr, bool *ret)
{
	size_t i;
	int r = 0;

	*ret = false;
	for (i = 0; r == 0 && !*ret && i < f->switch_count; i++)
		r = guess(f, addr, &f->switches[i], ret);
	return r;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Read what is between and behind what was read, up to the first that does not fit. */
static int read_gaps(struct function_code *f)
{
	_cleanup_free_ uint64_t *known = calloc(f->place_count, sizeof(*known));
	size_t count = f->place_count, next = 0;
	const struct cfi_code_range *range;
	const struct place *place;
	uint64_t addr;
	bool is_good;
	int r = 0;

	if (!known)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		known[i] = f->places[i].addr;
	qsort(known, count, sizeof(*known), compare);
	addr = known[0];
	while (r == 0) {
		place = find_place(f, addr);
		if (place) {
			addr += place->stack.length;
			continue;
		}
		range = code_functions_range(f->functions, addr);
		if (range)
			addr = skip_padding(range, addr);
		if (range && addr < range->end && find_place(f, addr))
			continue;
		is_good = range && addr < range->end && !code_functions_find(f->functions, addr);
		if (is_good)
			r = guess_any(f, addr, &is_good);
		if (is_good)
			continue;
		while (next < count && known[next] <= addr)
			next++;
		if (next == count)
			break;
		addr = known[next];
	}
	return r;
}

/* ---- a function --------------------------------------------------------------------------- */

static int read_once(struct function_code *f)
{
	const struct place way = {
		.stack = { .cfa_from_rsp = 8,
			   .has_rsp = true,
			   .is_outermost = f->number == 0,
			   .rax = -1 },
	};
	int r;

	f->place_count = f->work_count = f->switch_count = 0;
	f->slot_count = MIN_SLOTS;
	f->has_ret = f->is_inconsistent = f->calls_unread = false;
	r = go_to(f, f->functions->list[f->number].entry, &way);
	if (r == 0)
		r = visit_all(f);
	if (r < 0 || f->is_inconsistent || !f->switch_count || !f->number)
		return r;
	f->is_guess = true;
	r = read_gaps(f);
	f->is_guess = false;
	return r;
}

int function_code_read(struct function_code *f, uint32_t number)
{
	struct function *function;
	bool is_again;
	int r;

	f->number = number;
	f->dead_call_count = 0;
	do {
		r = read_once(f);
		if (r < 0)
			return r;
		function = &f->functions->list[number];
		if (f->is_inconsistent && f->calls_unread && !function->is_postponed) {
			function->is_postponed = true;
			return -EAGAIN;
		}
		is_again = f->is_inconsistent && f->blamed &&
			   f->dead_call_count < FUNCTION_MAX_DEAD_CALLS;
		if (is_again)
			f->dead_calls[f->dead_call_count++] = f->blamed;
	} while (is_again);
	function->is_stale = false;
	if (function->state == FUNCTION_DOES_NOT_RETURN) /* for good: ever less of it is read */
		return 0;
	function->state = f->is_inconsistent ? FUNCTION_NOT_UNDERSTOOD
			  : f->has_ret	     ? FUNCTION_RETURNS
					     : FUNCTION_DOES_NOT_RETURN;
	return 0;
}
