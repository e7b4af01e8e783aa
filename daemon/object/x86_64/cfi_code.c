#include "daemon/object/machine/cfi_code.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/object/machine/flow.h"
#include "decode.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "stack_code.h"

#define MAX_ENTRIES (1u << 20)

struct pending {
	uint64_t addr;
	struct stack_place place;
};

/* What is known of a function. Which ones return is found by starting from none: a ret that can be
 * reached past calls of functions that return makes another one. What is left at the end does not
 * return, and what stands behind a call of it belongs to somebody else. */
enum function {
	NO_FUNCTION = 0,
	MAY_RETURN,
	RETURNS,
	RETURNS_WHOLE,	/* and was read to all its ends */
	NOT_UNDERSTOOD, /* inconsistent; called, it is taken to return */
};

struct list {
	uint64_t *values;
	size_t count, capacity;
};

struct reader {
	const struct cfi_code_range *ranges;
	size_t range_count;
	size_t *first_place; /* of each range in places */
	struct stack_place *places;
	uint8_t *functions;  /* enum function, by the place of its entry */
	struct list entries; /* of functions; more are found on the way */
	uint64_t outermost;  /* nobody calls it: none of them */
	/* of the function that is being read */
	struct list touched, found; /* places written; entries seen */
	struct pending *work;
	size_t work_count, work_capacity;
	uint32_t reading;
	bool has_ret, is_inconsistent, is_cut_short; /* by a call that may not return */
};

static int list_add(struct list *list, uint64_t value)
{
	if (array_make_room(&list->values, &list->capacity, list->count))
		return -ENOMEM;
	list->values[list->count++] = value;
	return 0;
}

static void reader_deinit(struct reader *reader)
{
	free(reader->first_place);
	free(reader->places);
	free(reader->functions);
	free(reader->entries.values);
	free(reader->touched.values);
	free(reader->found.values);
	free(reader->work);
}

/* The range that holds addr; NULL if none. */
static const struct cfi_code_range *find_range(const struct reader *reader, uint64_t addr)
{
	size_t low = 0, high = reader->range_count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (reader->ranges[middle].end <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == reader->range_count || reader->ranges[low].start > addr)
		return NULL;
	return &reader->ranges[low];
}

static size_t place_index(const struct reader *reader, const struct cfi_code_range *range,
			  uint64_t addr)
{
	return reader->first_place[range - reader->ranges] + (addr - range->start);
}

/* ---- ways through a function -------------------------------------------------------------- */

static int go_to(struct reader *reader, uint64_t addr, const struct stack_place *place)
{
	if (!find_range(reader, addr) ||
	    (!place->has_rsp && !place->has_rbp && !place->is_outermost))
		return 0; /* leads to code with CFI, or nothing is known any more */
	if (array_make_room(&reader->work, &reader->work_capacity, reader->work_count))
		return -ENOMEM;
	reader->work[reader->work_count++] = (struct pending){ addr, *place };
	return 0;
}

static bool is_entry(const struct reader *reader, uint64_t addr)
{
	const struct cfi_code_range *range = find_range(reader, addr);

	return range && reader->functions[place_index(reader, range, addr)];
}

/* To the next instruction; not into the next function, unless it may begin so: there was a call
 * before that does not return, of code that is not here. */
static int go_on(struct reader *reader, uint64_t addr, const struct stack_place *place)
{
	if (is_entry(reader, addr) && (!place->has_rsp || place->cfa_from_rsp != 8))
		return 0;
	return go_to(reader, addr, place);
}

static int find_entry(struct reader *reader, uint64_t addr)
{
	return find_range(reader, addr) ? list_add(&reader->found, addr) : 0;
}

/* The address that a branch or a rip-relative operand names; 0 if it is not in the code. */
static uint64_t target_of(const struct stack_instruction *at, unsigned int operand)
{
	ZyanU64 target = 0;

	if (ZYAN_FAILED(ZydisCalcAbsoluteAddress(&at->insn, &at->op[operand], at->addr, &target)))
		return 0;
	return target;
}

static int follow_jump(struct reader *reader, const struct stack_instruction *at,
		       const struct stack_place *place)
{
	bool is_tail = place->has_rsp && place->cfa_from_rsp == 8;
	uint64_t target;

	if (at->op[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE) { /* a table, or a pointer */
		reader->has_ret = true;
		return 0;
	}
	target = target_of(at, 0);
	if (is_tail && !find_range(reader, target))
		reader->has_ret = true; /* by way of another one */
	if (!is_tail && !place->is_outermost && is_entry(reader, target))
		return 0; /* entered with more on the stack than it says of itself */
	return go_to(reader, target, place);
}

/* Where a call goes on; nowhere if what it calls does not return. */
static int follow_call(struct reader *reader, const struct stack_instruction *at,
		       const struct stack_place *place)
{
	const struct cfi_code_range *range;
	uint64_t target;
	int r;

	if (at->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		target = target_of(at, 0);
		range = find_range(reader, target);
		r = find_entry(reader, target);
		if (r < 0)
			return r;
		if (range && reader->functions[place_index(reader, range, target)] < RETURNS) {
			reader->is_cut_short = true;
			return 0;
		}
	}
	return go_on(reader, at->next, place);
}

/* To whatever may run after the instruction. */
static int follow(struct reader *reader, const struct stack_instruction *at,
		  const struct stack_place *place)
{
	int r = 0;

	switch (at->insn.meta.category) {
	case ZYDIS_CATEGORY_RET:
		reader->has_ret = true;
		if (!place->is_outermost && (!place->has_rsp || place->cfa_from_rsp != 8))
			reader->is_inconsistent = true;
		return 0;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return follow_jump(reader, at, place);
	case ZYDIS_CATEGORY_CALL:
		return follow_call(reader, at, place);
	case ZYDIS_CATEGORY_COND_BR:
		r = go_to(reader, target_of(at, 0), place);
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
			r = find_entry(reader, target_of(at, 1));
		break;
	default:
		break;
	}
	return r < 0 ? r : go_on(reader, at->next, place);
}

/* Of the stack; what is only a means to find out more of it is left out. */
static bool is_same(const struct stack_place *a, const struct stack_place *b)
{
	return a->cfa_from_rsp == b->cfa_from_rsp && a->cfa_from_rbp == b->cfa_from_rbp &&
	       a->rbp == b->rbp && a->has_rsp == b->has_rsp && a->has_rbp == b->has_rbp &&
	       a->is_outermost == b->is_outermost;
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
static bool join(struct reader *reader, struct stack_place *place, const struct stack_place *other)
{
	bool is_other_reading = place->reading != reader->reading;
	struct stack_place joined;

	if (is_same(place, other) && (is_other_reading || (place->rax == other->rax &&
							   place->is_cloned == other->is_cloned)))
		return false;
	if (!agree(place, other, &joined) || (is_other_reading && !is_same(place, &joined))) {
		/* the outermost code may end in a call, and another function begin behind it */
		reader->is_inconsistent |= !other->is_outermost;
		return false;
	}
	if (is_other_reading || (is_same(place, &joined) && place->rax == joined.rax &&
				 place->is_cloned == joined.is_cloned))
		return false;
	*place = joined;
	return true;
}

static int visit(struct reader *reader, struct pending pending)
{
	const struct cfi_code_range *range = find_range(reader, pending.addr);
	struct stack_instruction at = { .addr = pending.addr };
	struct stack_place *place = &reader->places[place_index(reader, range, pending.addr)];
	int r = 0;

	if (place->is_known) {
		if (!join(reader, place, &pending.place))
			return 0;
		pending.place = *place;
	}
	if (!decode(range->bytes + (pending.addr - range->start), range->end - pending.addr,
		    &at.insn, at.op)) {
		reader->is_inconsistent = true;
		return 0;
	}
	at.next = at.addr + at.insn.length;
	if (!place->is_known)
		r = list_add(&reader->touched, (uint64_t)(place - reader->places));
	if (r < 0)
		return r;
	*place = pending.place;
	place->is_known = true;
	place->length = at.insn.length;
	place->reading = reader->reading;
	stack_code_apply(&pending.place, &at);
	return follow(reader, &at, &pending.place);
}

/* mov $15,%rax; syscall: where signal handlers return to in libraries that say no more about it
 * (x86-64 has had this one form only; debuggers know it by these bytes, too). */
static const uint8_t sigreturn[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };

static bool is_sigreturn(const struct cfi_code_range *range, uint64_t addr)
{
	return range->end - addr >= sizeof(sigreturn) &&
	       memcmp(range->bytes + (addr - range->start), sigreturn, sizeof(sigreturn)) == 0;
}

static void forget_function(struct reader *reader)
{
	size_t i;

	for (i = 0; i < reader->touched.count; i++)
		reader->places[reader->touched.values[i]] = (struct stack_place){};
}

/* New entries of this function into the list. */
static int keep_found(struct reader *reader)
{
	const struct cfi_code_range *range;
	uint64_t entry;
	uint8_t *known;
	size_t i;
	int r;

	for (i = 0; i < reader->found.count && reader->entries.count < MAX_ENTRIES; i++) {
		entry = reader->found.values[i];
		range = find_range(reader, entry);
		if (!range || entry == reader->outermost)
			continue;
		known = &reader->functions[place_index(reader, range, entry)];
		if (*known)
			continue;
		*known = MAY_RETURN;
		r = list_add(&reader->entries, entry);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_function(struct reader *reader, uint64_t entry, bool is_outermost)
{
	struct stack_place place = {
		.cfa_from_rsp = 8, .has_rsp = true, .is_outermost = is_outermost, .rax = -1
	};
	int r;

	reader->touched.count = reader->found.count = reader->work_count = 0;
	reader->has_ret = reader->is_inconsistent = reader->is_cut_short = false;
	reader->reading++;
	r = go_to(reader, entry, &place);
	while (r == 0 && reader->work_count && !reader->is_inconsistent)
		r = visit(reader, reader->work[--reader->work_count]);
	if (r < 0 || !reader->is_inconsistent)
		return r;
	forget_function(reader);
	reader->found.count = 0;
	return 0;
}

/* It ends: in each round a function's state only goes up in enum function, from MAY_RETURN to one
 * of the others, and a round that changes none is the last; list of entries only grows, to
 * MAX_ENTRIES. */
#define MAX_ROUNDS 40 /* as deep as calls of functions are nested before a ret is certain */

/* Which functions return; finds all functions on the way. */
static int settle(struct reader *reader)
{
	bool is_changed = true;
	uint64_t entry;
	uint8_t *known;
	size_t i;
	int r, round;

	for (round = 0; is_changed && round < MAX_ROUNDS; round++) {
		is_changed = false;
		r = reader->outermost ? read_function(reader, reader->outermost, true) : 0;
		forget_function(reader);
		if (r == 0 && reader->outermost)
			r = keep_found(reader);
		for (i = 0; r == 0 && i < reader->entries.count; i++) {
			entry = reader->entries.values[i];
			known = &reader->functions[place_index(reader, find_range(reader, entry),
							       entry)];
			if (*known != MAY_RETURN)
				continue;
			r = read_function(reader, entry, false);
			forget_function(reader);
			if (r == 0)
				r = keep_found(reader);
			if (reader->is_inconsistent)
				*known = NOT_UNDERSTOOD;
			else if (reader->has_ret)
				*known = reader->is_cut_short ? RETURNS : RETURNS_WHOLE;
			is_changed |= *known != MAY_RETURN;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* A function that was seen to return early in settle() was not read past all its calls. */
static int find_more(struct reader *reader)
{
	size_t i, place;
	uint64_t entry;
	int r = 0;

	for (i = 0; r == 0 && i < reader->entries.count; i++) {
		entry = reader->entries.values[i];
		place = place_index(reader, find_range(reader, entry), entry);
		if (reader->functions[place] != RETURNS)
			continue;
		r = read_function(reader, entry, false);
		forget_function(reader);
		if (r == 0)
			r = keep_found(reader);
		if (reader->is_inconsistent)
			reader->functions[place] = NOT_UNDERSTOOD;
		else if (!reader->is_cut_short)
			reader->functions[place] = RETURNS_WHOLE;
	}
	return r;
}

/* Functions that do not return, proved once more: where a stack may begin (DHAT_CFA_ENDLESS). */
#define MAX_ENDLESS_BYTES 4096
static void mark_endless(struct reader *reader)
{
	for (size_t i = 0; i < reader->entries.count; i++) {
		uint64_t entry = reader->entries.values[i];
		const struct cfi_code_range *range = find_range(reader, entry);
		size_t place = place_index(reader, range, entry), size = range->end - entry;

		if (reader->functions[place] != MAY_RETURN || !reader->places[place].is_known)
			continue;
		reader->places[place].is_endless =
			flow_is_endless(range->bytes + (entry - range->start),
					size < MAX_ENDLESS_BYTES ? size : MAX_ENDLESS_BYTES, entry);
	}
}

static int read_all(struct reader *reader)
{
	size_t i, place, known;
	uint64_t entry;
	int r;

	do {
		known = reader->entries.count;
		r = settle(reader);
		if (r == 0)
			r = find_more(reader);
	} while (r == 0 && reader->entries.count > known);
	for (i = 0; r == 0 && i < reader->entries.count; i++) {
		entry = reader->entries.values[i];
		place = place_index(reader, find_range(reader, entry), entry);
		if (reader->functions[place] != NOT_UNDERSTOOD && !reader->places[place].is_known)
			r = read_function(reader, entry, false);
	}
	if (r == 0)
		mark_endless(reader);
	if (r == 0 && reader->outermost)
		r = read_function(reader, reader->outermost, true);
	return r;
}

/* ---- results ------------------------------------------------------------------------------ */

static struct dhat_row row_of(const struct stack_place *place)
{
	struct dhat_row row = { .fp = place->rbp };

	if (place->is_outermost)
		return (struct dhat_row){ .cfa = DHAT_CFA_END };
	/* by rbp where that can be: V8's functions take arguments off their callers' stacks */
	row.cfa = place->has_rbp ? DHAT_CFA_FP : DHAT_CFA_SP;
	if (place->is_endless)
		row.cfa |= DHAT_CFA_ENDLESS;
	row.cfa_offset = place->has_rbp ? place->cfa_from_rbp : place->cfa_from_rsp;
	return row;
}

struct pieces {
	struct cfi_code_piece *list;
	size_t count, capacity;
};

static int add_piece(struct pieces *pieces, uint64_t start, uint64_t end, struct dhat_row row)
{
	struct cfi_code_piece *last;

	while (pieces->count && pieces->list[pieces->count - 1].start >= start)
		pieces->count--;
	last = pieces->count ? &pieces->list[pieces->count - 1] : NULL;
	if (last && last->end > start)
		last->end = start; /* an instruction inside of another one */
	if (last && last->end == start && memcmp(&last->row, &row, sizeof(row)) == 0) {
		last->end = end;
		return 0;
	}
	if (array_make_room(&pieces->list, &pieces->capacity, pieces->count))
		return -ENOMEM;
	pieces->list[pieces->count++] = (struct cfi_code_piece){ start, end, row };
	return 0;
}

static int collect_range(const struct reader *reader, const struct cfi_code_range *range,
			 struct pieces *pieces)
{
	const struct stack_place *place = &reader->places[place_index(reader, range, range->start)];
	uint64_t addr, start;
	int r = 0;

	for (addr = range->start; r == 0 && addr < range->end; addr++, place++) {
		if (!place->is_known)
			continue;
		if (!is_sigreturn(range, addr)) {
			r = add_piece(pieces, addr, addr + place->length, row_of(place));
			continue;
		}
		/* the handler returns to it without a call before: looked up a byte before */
		start = addr > range->start ? addr - 1 : addr;
		r = add_piece(pieces, start, addr + sizeof(sigreturn),
			      (struct dhat_row){ .cfa = DHAT_CFA_SIGNAL });
		addr += sizeof(sigreturn) - 1;
		place += sizeof(sigreturn) - 1;
	}
	return r;
}

static int prepare(struct reader *reader, const uint64_t *entries, size_t entry_count)
{
	size_t i, all = 0;

	reader->first_place = calloc(reader->range_count, sizeof(*reader->first_place));
	if (!reader->first_place)
		return -ENOMEM;
	for (i = 0; i < reader->range_count; i++) {
		reader->first_place[i] = all;
		all += reader->ranges[i].end - reader->ranges[i].start;
		if (all > CFI_CODE_MAX_BYTES)
			return -E2BIG;
	}
	reader->places = calloc(all, sizeof(*reader->places));
	reader->functions = calloc(all, sizeof(*reader->functions));
	if (!reader->places || !reader->functions)
		return -ENOMEM;
	for (i = 0; i < entry_count; i++) {
		if (find_entry(reader, entries[i]) < 0)
			return -ENOMEM;
	}
	return keep_found(reader);
}

int cfi_code_read(const struct cfi_code_range *ranges, size_t range_count, const uint64_t *entries,
		  size_t entry_count, uint64_t outermost, struct cfi_code_piece **ret,
		  size_t *ret_count)
{
	_cleanup_(reader_deinit) struct reader reader = { .ranges = ranges,
							  .range_count = range_count,
							  .outermost = outermost };
	struct pieces pieces = {};
	size_t i;
	int r;

	r = prepare(&reader, entries, entry_count);
	if (r == 0)
		r = read_all(&reader);
	for (i = 0; r == 0 && i < range_count; i++)
		r = collect_range(&reader, &ranges[i], &pieces);
	if (r < 0 && r != -E2BIG) {
		free(pieces.list);
		return r;
	}
	*ret = pieces.list;
	*ret_count = pieces.count;
	return 0;
}
