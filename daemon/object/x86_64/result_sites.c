#include "daemon/object/machine/result_sites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/object/machine/encoding.h"
#include "emulation.h"
#include "proto/base/cleanup.h"
#include "treatment.h"
#include "values.h"

enum { RAX = 0, RSP = 4, RBP = 5 };

/* What is returned on all ways from an instruction. */
enum fate {
	FATE_OPEN,     /* this or that, or what is not known yet */
	FATE_REGISTER, /* what register `reg` holds there, which may be 0 */
	FATE_NOTHING,  /* 0, always */
	FATE_GONE,     /* no way from here comes back, or it goes on in a function seen by itself */
};

struct place { /* of each instruction */
	uint8_t fate, reg;
	bool is_candidate; /* for a result */
	bool is_chosen, is_begin, is_end, is_entry;
};

struct search {
	const struct code *code;
	struct values *at;   /* as at the entry */
	struct values *from; /* of one candidate */
	struct place *places;
	uint32_t *work;
	uint8_t *seen;
	struct value size;
	bool may_execute;
};

struct way {	       /* to look for them */
	bool is_short; /* search_short() */
	bool executes; /* at instructions that are ours, too */
};

struct passed { /* addresses of instructions, in any order */
	uint64_t *list;
	size_t count;
};

/* ---- what is returned ---------------------------------------------------------------------- */

/* What a way that ends at this instruction returns. */
static struct value returned_at(const struct code_instruction *at, const struct values *values)
{
	return values->reg[at->end == CODE_RETURNS_ARGUMENT ? 7 : RAX];
}

/* May the way that ends there be one of FATE_REGISTER or FATE_NOTHING? */
static bool may_be_told(const struct code_instruction *at, const struct values *values)
{
	enum value_kind kind = returned_at(at, values).kind;

	if (at->end == CODE_DIES)
		return true;
	return at->end != CODE_LEAVES && at->end != CODE_IS_LOST &&
	       (kind == VALUE_ZERO || kind == VALUE_MARKED);
}

/* All ways out that can be reached from instruction `start`. */
static int judge_fate(struct search *s, uint32_t start)
{
	struct place *place = &s->places[start];
	uint16_t must_be_zero = UINT16_MAX; /* registers that are 0 on each way that returns 0 */
	bool returns_zero = false;
	int reg = -1;
	int r = values_from(s->code, start, &s->at[start], may_be_told, s->from);

	place->fate = FATE_OPEN;
	if (r < 0)
		return r == -ECANCELED ? 0 : r;
	for (uint32_t i = 0; i < s->code->count; i++) {
		const struct code_instruction *at = &s->code->list[i];
		struct value value;

		if (!s->from[i].is_reached || at->end == CODE_GOES_ON || at->end == CODE_DIES)
			continue;
		value = returned_at(at, &s->from[i]);
		if (value.kind == VALUE_ZERO) {
			returns_zero = true;
			must_be_zero &= s->from[i].zeros;
		} else if (reg >= 0 && reg != value.number) {
			return 0;
		} else {
			reg = value.number;
		}
	}
	if (reg >= 0 && (!returns_zero || must_be_zero & 1u << reg)) {
		place->fate = FATE_REGISTER;
		place->reg = reg;
	} else if (reg < 0) {
		place->fate = returns_zero ? FATE_NOTHING : FATE_GONE;
	}
	return 0;
}

/* ---- places -------------------------------------------------------------------------------- */

static int register_of(const struct values *values, struct value wanted)
{
	for (int i = 0; i < VALUES_REGISTERS; i++)
		if (values->reg[i].kind == wanted.kind && values->reg[i].number == wanted.number)
			return i;
	return -1;
}

/* Where the caller's frame pointer is, as frame_words; -1: not known, or out of reach. */
static int frame_words_of(const struct values *values)
{
	int32_t sp = values_stack(values);

	if (values->reg[RBP].kind == VALUE_FRAME)
		return 0;
	for (int i = 0; i < VALUES_SLOTS; i++) {
		int words = (-8 * (i + 1) - sp) / 8;

		if (values->slot[i].kind == VALUE_FRAME && words >= 0 && words < UINT8_MAX)
			return words + 1;
	}
	return -1;
}

static bool is_stack_known(const struct values *values)
{
	int32_t sp = values_stack(values);

	return values->reg[RSP].kind == VALUE_STACK && sp <= 0 && sp % 8 == 0 &&
	       -sp / 8 <= UINT8_MAX;
}

/* May programs of ours execute it? */
static bool is_ours(const struct search *s, uint32_t number, struct dhat_instruction *ret)
{
	const struct code_instruction *at = &s->code->list[number];
	int size_reg = register_of(&s->at[number], s->size);
	const uint8_t needed[] = { s->places[number].reg, size_reg >= 0 ? size_reg : RSP };

	*ret = (struct dhat_instruction){ 0 };
	if (s->may_execute && !at->condition && at->end == CODE_GOES_ON &&
	    treatment_of(&at->insn, at->bytes) == TREATMENT_STEPPED &&
	    emulation_describe(&at->insn, at->op, at->bytes, ret) &&
	    encoding_suits(ret, needed, ARRAY_SIZE(needed)))
		return true;
	*ret = (struct dhat_instruction){ 0 };
	return false;
}

static bool may_be_probed(const struct search *s, uint32_t number, bool must_be_cheap)
{
	const struct code_instruction *at = &s->code->list[number];
	enum treatment treatment = treatment_of(&at->insn, at->bytes);
	struct dhat_instruction unused;

	if (at->insn.mnemonic == ZYDIS_MNEMONIC_NOP && at->insn.length == 5)
		return false; /* optimised on 6.18: forked children crash */
	return treatment == TREATMENT_EMULATED ||
	       (treatment == TREATMENT_STEPPED && (!must_be_cheap || is_ours(s, number, &unused)));
}

/* ---- ways ---------------------------------------------------------------------------------- */

typedef bool (*is_border)(const struct search *s, uint32_t number);

/* Mark in s->seen all that can be reached from `start` without going on behind a border. */
static void spread(struct search *s, uint32_t start, is_border stops)
{
	uint32_t count = 0;

	if (start == CODE_NONE || s->seen[start])
		return;
	s->seen[start] = 1;
	s->work[count++] = start;
	while (count) {
		uint32_t number = s->work[--count];
		const uint32_t next[] = { s->code->list[number].next,
					  s->code->list[number].target };

		if (stops(s, number) || s->code->list[number].end != CODE_GOES_ON)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(next); i++) {
			if (next[i] == CODE_NONE || s->seen[next[i]])
				continue;
			s->seen[next[i]] = 1;
			s->work[count++] = next[i];
		}
	}
}

static void forget_seen(struct search *s)
{
	memset(s->seen, 0, s->code->count);
}

static bool never(const struct search *s, uint32_t number)
{
	return false;
}

static bool at_call(const struct search *s, uint32_t number)
{
	return s->code->list[number].is_call;
}

static bool at_candidate_or_nothing(const struct search *s, uint32_t number)
{
	return s->places[number].is_candidate || s->places[number].fate == FATE_NOTHING ||
	       s->places[number].fate == FATE_GONE;
}

/* ---- the choice ---------------------------------------------------------------------------- */

/* Calls that are the first on some way: there the size has to be known. */
static int choose_begins(struct search *s, char why[RESULT_WHY])
{
	forget_seen(s);
	spread(s, 0, at_call);
	for (uint32_t i = 0; i < s->code->count; i++) {
		const struct code_instruction *at = &s->code->list[i];

		if (!s->seen[i] || !at->is_call || s->places[i].fate == FATE_GONE)
			continue;
		if (register_of(&s->at[i], s->size) < 0 || !is_stack_known(&s->at[i]) ||
		    !may_be_probed(s, i, false)) {
			snprintf(why, RESULT_WHY, "at its call at 0x%lx the size is not at hand",
				 (unsigned long)at->vaddr);
			return -ENOTSUP;
		}
		s->places[i].is_begin = true;
	}
	return 0;
}

/* Which instructions are on a way without a call before. */
static void mark_before_calls(struct search *s)
{
	forget_seen(s);
	spread(s, 0, at_call);
}

static int judge_candidates(struct search *s)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < s->code->count; i++)
		if (s->at[i].is_reached)
			r = judge_fate(s, i);
	mark_before_calls(s);
	for (uint32_t i = 0; r == 0 && i < s->code->count; i++) {
		struct place *place = &s->places[i];

		place->is_candidate = place->fate == FATE_REGISTER && !s->code->list[i].is_call &&
				      may_be_probed(s, i, true) && is_stack_known(&s->at[i]) &&
				      frame_words_of(&s->at[i]) >= 0 &&
				      /* where no call was passed, no begin was either */
				      (register_of(&s->at[i], s->size) >= 0 || !s->seen[i]);
	}
	return r;
}

/* Candidates that are the first on some way; *ret_is_final: none of them leads to another. */
static void choose_first(struct search *s, bool *ret_is_final)
{
	*ret_is_final = true;
	forget_seen(s);
	spread(s, 0, at_candidate_or_nothing);
	for (uint32_t i = 0; i < s->code->count; i++)
		s->places[i].is_chosen = s->seen[i] && s->places[i].is_candidate;
	for (uint32_t i = 0; i < s->code->count; i++) {
		if (!s->places[i].is_chosen)
			continue;
		forget_seen(s);
		spread(s, s->code->list[i].next, never);
		spread(s, s->code->list[i].target, never);
		for (uint32_t k = 0; k < s->code->count && s->places[i].is_candidate; k++)
			if (s->seen[k] && s->places[k].is_chosen) {
				s->places[i].is_candidate = false;
				*ret_is_final = false;
			}
	}
}

/* Is there a way to a return that passes none? Instructions that always return nothing stop it. */
static int check_cover(struct search *s, char why[RESULT_WHY])
{
	forget_seen(s);
	spread(s, 0, at_candidate_or_nothing);
	for (uint32_t i = 0; i < s->code->count; i++) {
		const struct code_instruction *at = &s->code->list[i];

		if (!s->seen[i] || at_candidate_or_nothing(s, i) || at->end == CODE_GOES_ON ||
		    at->end == CODE_DIES || at->end == CODE_LEAVES)
			continue;
		snprintf(why, RESULT_WHY, "on a way to 0x%lx the block is not known in time",
			 (unsigned long)at->vaddr);
		return -ENOTSUP;
	}
	return 0;
}

/* Behind a begin, the first instruction of each way that returns nothing. */
static int choose_ends(struct search *s, char why[RESULT_WHY])
{
	_cleanup_free_ uint8_t *behind_begin = calloc(s->code->count, 1);

	if (!behind_begin)
		return -ENOMEM;
	forget_seen(s);
	for (uint32_t i = 0; i < s->code->count; i++)
		if (s->places[i].is_begin)
			spread(s, s->code->list[i].next, at_candidate_or_nothing);
	memcpy(behind_begin, s->seen, s->code->count);
	forget_seen(s);
	for (uint32_t i = 0; i < s->code->count; i++) {
		if (!behind_begin[i] || s->places[i].fate != FATE_NOTHING)
			continue;
		if (!may_be_probed(s, i, false) || s->code->list[i].is_call ||
		    !is_stack_known(&s->at[i])) {
			snprintf(why, RESULT_WHY,
				 "no place for a probe at 0x%lx, where a call fails",
				 (unsigned long)s->code->list[i].vaddr);
			return -ENOTSUP;
		}
		s->places[i].is_end = true;
	}
	return 0;
}

/* A way that leaves for a function seen by itself must not have passed a begin: it would stay. */
static int check_leaving(struct search *s, char why[RESULT_WHY])
{
	forget_seen(s);
	for (uint32_t i = 0; i < s->code->count; i++)
		if (s->places[i].is_begin)
			spread(s, s->code->list[i].next, never);
	for (uint32_t i = 0; i < s->code->count; i++) {
		if (!s->seen[i] || s->code->list[i].end != CODE_LEAVES)
			continue;
		snprintf(why, RESULT_WHY, "it goes on in another function behind a call");
		return -ENOTSUP;
	}
	return 0;
}

/* ---- ways without a call ------------------------------------------------------------------- */

/* Code behind a call: what is found there is not known to be of this call's. */
static int give_up_behind_calls(struct search *s)
{
	_cleanup_free_ uint8_t *before = calloc(s->code->count, 1);

	if (!before)
		return -ENOMEM;
	forget_seen(s);
	spread(s, 0, at_call);
	memcpy(before, s->seen, s->code->count);
	forget_seen(s);
	for (uint32_t i = 0; i < s->code->count; i++)
		if (before[i] && s->code->list[i].is_call)
			spread(s, s->code->list[i].next, never);
	for (uint32_t i = 0; i < s->code->count; i++)
		s->places[i].is_candidate &= before[i] && !s->seen[i];
	return 0;
}

static bool at_stop(const struct search *s, uint32_t number)
{
	return s->places[number].is_entry || s->places[number].is_candidate ||
	       s->places[number].fate == FATE_GONE || s->code->list[number].is_call;
}

/* What can be reached behind an instruction. */
static void spread_behind(struct search *s, uint32_t number)
{
	forget_seen(s);
	spread(s, s->code->list[number].next, never);
	spread(s, s->code->list[number].target, never);
}

static bool leads_to_result(struct search *s, uint32_t number)
{
	spread_behind(s, number);
	for (uint32_t i = 0; i < s->code->count; i++)
		if (s->places[i].is_chosen && (s->seen[i] || i == number))
			return true;
	return false;
}

/* Is all there as at the function's entry, but for what the registers hold? */
static bool may_be_entry(const struct search *s, uint32_t number)
{
	const struct code_instruction *at = &s->code->list[number];

	return !at->is_call && !at->condition && at->end == CODE_GOES_ON &&
	       is_stack_known(&s->at[number]) && values_stack(&s->at[number]) == 0 &&
	       register_of(&s->at[number], s->size) >= 0 && may_be_probed(s, number, true);
}

/* The first of each way that leads to no result any more. Leaves in s->seen what is passed. */
static int choose_entries(struct search *s, char why[RESULT_WHY])
{
	for (uint32_t i = 0; i < s->code->count; i++)
		if (s->at[i].is_reached && may_be_entry(s, i))
			s->places[i].is_entry = !leads_to_result(s, i);
	forget_seen(s);
	spread(s, 0, at_stop);
	for (uint32_t i = 0; i < s->code->count; i++) {
		const struct code_instruction *at = &s->code->list[i];
		struct place *place = &s->places[i];
		bool tells_nothing =
			at->is_call || (at->end != CODE_GOES_ON && place->fate != FATE_NOTHING);

		place->is_entry &= s->seen[i];
		if (!s->seen[i] || place->is_entry || place->is_candidate ||
		    place->fate == FATE_GONE || !tells_nothing)
			continue;
		snprintf(why, RESULT_WHY, "no place for a probe on a way to 0x%lx",
			 (unsigned long)at->vaddr);
		return -ENOTSUP;
	}
	return 0;
}

/* Behind a place that is chosen comes no other, and behind a result no call that has one. Keeps
 * s->seen. */
static int check_once(struct search *s, char why[RESULT_WHY])
{
	_cleanup_free_ uint8_t *passed = malloc(s->code->count);
	bool is_right = true;

	if (!passed)
		return -ENOMEM;
	memcpy(passed, s->seen, s->code->count);
	for (uint32_t i = 0; i < s->code->count; i++) {
		if (!s->places[i].is_chosen && !s->places[i].is_entry)
			continue;
		spread_behind(s, i);
		for (uint32_t k = 0; k < s->code->count; k++)
			is_right &= !s->seen[k] ||
				    !(s->places[k].is_chosen || s->places[k].is_entry ||
				      (s->places[i].is_chosen && s->code->list[k].calls_by_itself));
	}
	memcpy(s->seen, passed, s->code->count);
	if (is_right)
		return 0;
	snprintf(why, RESULT_WHY, "a way passes two places");
	return -ENOTSUP;
}

/* ---- the answer ---------------------------------------------------------------------------- */

static void disassemble(const struct code_instruction *at, char *ret, size_t size)
{
	ZydisFormatter formatter;

	if (ZYAN_FAILED(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT)) ||
	    /* 16 digits make a line of `status' too wide */
	    ZYAN_FAILED(ZydisFormatterSetProperty(&formatter,
						  ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE,
						  ZYDIS_PADDING_DISABLED)) ||
	    ZYAN_FAILED(ZydisFormatterFormatInstruction(&formatter, &at->insn, at->op,
							at->insn.operand_count_visible, ret, size,
							at->vaddr, NULL)))
		snprintf(ret, size, "(%u bytes)", at->insn.length);
}

static struct result_site describe(const struct search *s, uint32_t number)
{
	const struct code_instruction *at = &s->code->list[number];
	const struct values *values = &s->at[number];
	const struct place *place = &s->places[number];
	int size_reg = register_of(values, s->size);
	struct result_site site = {
		.vaddr = at->vaddr,
		.kind = place->is_chosen  ? RESULT_HERE
			: place->is_begin ? RESULT_BEGIN
			: place->is_entry ? RESULT_ENTRY
					  : RESULT_END,
		.byte = at->bytes[0],
		.address_reg = place->reg,
		.size_reg = size_reg >= 0 ? size_reg : RESULT_SIZE_SAVED,
		.condition = at->condition,
		.sp_words = -values_stack(values) / 8,
		.is_emulated = treatment_of(&at->insn, at->bytes) == TREATMENT_EMULATED,
	};

	is_ours(s, number, &site.by_us);
	if (place->is_chosen)
		site.frame_words = frame_words_of(values);
	disassemble(at, site.instruction, sizeof(site.instruction));
	return site;
}

static int compare_sites(const void *a, const void *b)
{
	const struct result_site *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

static bool is_site(const struct place *place)
{
	return place->is_chosen || place->is_begin || place->is_end || place->is_entry;
}

static int list_sites(const struct search *s, struct result_sites *ret, char why[RESULT_WHY])
{
	size_t count = 0, results = 0;

	for (uint32_t i = 0; i < s->code->count; i++) {
		count += is_site(&s->places[i]);
		results += s->places[i].is_chosen;
	}
	if (!results || count > RESULT_SITES_MAX) {
		snprintf(why, RESULT_WHY,
			 results ? "it would need %zu probes" : "no place tells of a block", count);
		return -ENOTSUP;
	}
	ret->list = calloc(count, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	ret->count = 0;
	for (uint32_t i = 0; i < s->code->count; i++)
		if (is_site(&s->places[i]))
			ret->list[ret->count++] = describe(s, i);
	qsort(ret->list, ret->count, sizeof(*ret->list), compare_sites);
	for (size_t i = 1; i < ret->count; i++)
		if (ret->list[i].vaddr == ret->list[i - 1].vaddr) {
			snprintf(why, RESULT_WHY,
				 "both ways out of 0x%lx would have to be told apart",
				 (unsigned long)ret->list[i].vaddr);
			return -ENOTSUP;
		}
	return 0;
}

static int look_at_values(struct search *s, char why[RESULT_WHY])
{
	int r = values_at_entry(s->code, (struct value){ 0 }, s->at);

	if (r == 0 &&
	    (!values_are_followed(s->code, s->at) || !values_have_stack(s->code, s->at))) {
		snprintf(why, RESULT_WHY, "not all of its code can be followed");
		r = -ENOTSUP;
	}
	return r;
}

/* Sites for all ways. */
static int search_all(struct search *s, char why[RESULT_WHY])
{
	bool is_final = false;
	int r = 0;

	if (s->code->calls_by_itself) {
		snprintf(why, RESULT_WHY, "it calls a function that is probed by itself");
		return -ENOTSUP;
	}
	r = judge_candidates(s);
	while (r == 0 && !is_final) /* each round gives one up */
		choose_first(s, &is_final);
	if (r == 0)
		r = check_cover(s, why);
	if (r == 0)
		r = choose_begins(s, why);
	if (r == 0)
		r = choose_ends(s, why);
	return r == 0 ? check_leaving(s, why) : r;
}

/* Sites for ways without a call; the others pass an entry. */
static int search_short(struct search *s, char why[RESULT_WHY])
{
	bool is_final = false;
	int r = judge_candidates(s);

	if (r == 0)
		r = give_up_behind_calls(s);
	while (r == 0 && !is_final)
		choose_first(s, &is_final);
	if (r == 0)
		r = choose_entries(s, why);
	return r == 0 ? check_once(s, why) : r;
}

/* Addresses of what is passed before a place that is chosen, those included. */
static int note_passed(const struct search *s, bool is_short, struct passed *ret)
{
	ret->list = calloc(s->code->count, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	ret->count = 0;
	for (uint32_t i = 0; i < s->code->count; i++)
		if (!is_short || s->seen[i])
			ret->list[ret->count++] = s->code->list[i].vaddr;
	return 0;
}

static int search(const struct code *code, struct value size, struct way way,
		  struct result_sites *ret, struct passed *passed, char why[RESULT_WHY])
{
	_cleanup_free_ struct values *at = calloc(code->count, sizeof(*at));
	_cleanup_free_ struct values *from = calloc(code->count, sizeof(*from));
	_cleanup_free_ struct place *places = calloc(code->count, sizeof(*places));
	_cleanup_free_ uint32_t *work = calloc(code->count, sizeof(*work));
	_cleanup_free_ uint8_t *seen = calloc(code->count, 1);
	struct search s = { code, at, from, places, work, seen, size, way.executes };
	int r;

	if (!at || !from || !places || !work || !seen)
		return -ENOMEM;
	r = look_at_values(&s, why);
	if (r == 0)
		r = way.is_short ? search_short(&s, why) : search_all(&s, why);
	if (r == 0)
		r = list_sites(&s, ret, why);
	return r == 0 ? note_passed(&s, way.is_short, passed) : r;
}

static int compare_vaddrs(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* glibc 2.43's malloc() jumps to what free() calls, too, to make a thread's cache. */
static int refuse_shared(const struct code_source *source, const struct passed *passed,
			 uint64_t entry, char why[RESULT_WHY])
{
	if (!source->is_shared)
		return 0;
	qsort(passed->list, passed->count, sizeof(*passed->list), compare_vaddrs);
	if (!source->is_shared(source->context, passed->list, passed->count, entry))
		return 0;
	snprintf(why, RESULT_WHY, "others have a part of its code, too");
	return -ENOTSUP;
}

static int try(const struct code_source *source, const struct code *code,
	       const struct result_question *question, struct way way, struct result_sites *ret,
	       char why[RESULT_WHY])
{
	bool is_product = question->size == RESULT_SIZE_PRODUCT;
	struct value size = { is_product ? VALUE_PRODUCT : VALUE_ARGUMENT,
			      is_product ? 0 : question->argument };
	struct result_sites found = { 0 };
	struct passed passed = { 0 };
	int r = search(code, size, way, &found, &passed, why);

	if (r == 0)
		r = refuse_shared(source, &passed, question->vaddr, why);
	free(passed.list);
	if (r < 0) {
		free(found.list);
		return r;
	}
	*ret = found;
	return 0;
}

/* All ways before the short ones, which leave the others to a return probe. */
static int try_split(const struct code_source *source, const struct code *code,
		     const struct result_question *question, struct result_sites *ret,
		     char why[RESULT_WHY])
{
	int r = -ENOTSUP;

	for (int i = 0; i < 4 && r == -ENOTSUP; i++) {
		const struct way way = { .is_short = i / 2, .executes = i % 2 };

		if ((way.is_short && !question->with_entries) ||
		    (way.executes && !question->may_execute))
			continue;
		r = try(source, code, question, way, ret, why);
	}
	return r;
}

int result_sites_find(const struct code_source *source, const struct result_question *question,
		      struct result_sites *ret, char why[RESULT_WHY])
{
	_cleanup_(code_deinit) struct code code = { 0 };
	char other_why[RESULT_WHY] = "";
	int r = code_follow_proven(source, question->vaddr, &code);

	if (r < 0) {
		if (r == -ENOTSUP)
			snprintf(why, RESULT_WHY, "it is too long");
		return r;
	}
	/* whole instructions first: a way out of a jump is looked at whichever way is taken */
	r = try(source, &code, question, (struct way){ 0 }, ret, why);
	if (r == -ENOTSUP && question->may_execute)
		r = try(source, &code, question, (struct way){ .executes = true }, ret, other_why);
	if (r != -ENOTSUP)
		return r;
	r = code_split_jumps(&code);
	return r ? r : try_split(source, &code, question, ret, other_why);
}
