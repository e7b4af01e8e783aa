#include "code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

struct follower {
	const struct code_source *source;
	struct code code;
	uint32_t room;
	uint32_t *buckets; /* number + 1 of the instruction at an address, by a hash of it */
};
enum { BUCKETS = 4 * CODE_MAX_INSTRUCTIONS }; /* never more than a quarter full */

static bool is_in(const uint64_t *list, size_t count, uint64_t vaddr)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == vaddr)
			return true;
	return false;
}

static uint32_t *bucket_of(const struct follower *f, uint64_t vaddr)
{
	uint32_t at = (uint32_t)(vaddr * 0x9e3779b1u) % BUCKETS;

	while (f->buckets[at] && f->code.list[f->buckets[at] - 1].vaddr != vaddr)
		at = (at + 1) % BUCKETS;
	return &f->buckets[at];
}

/* The number of the instruction there, which is decoded when it is new. */
static int visit(struct follower *f, uint64_t vaddr, uint32_t *ret)
{
	uint32_t *bucket = bucket_of(f, vaddr);
	struct code_instruction *at;
	size_t size = 0;

	if (*bucket) {
		*ret = *bucket - 1;
		return 0;
	}
	if (f->code.count == CODE_MAX_INSTRUCTIONS)
		return -ENOTSUP;
	if (array_make_room(&f->code.list, &f->room, f->code.count))
		return -ENOMEM;
	at = &f->code.list[f->code.count];
	memset(at, 0, sizeof(*at));
	at->vaddr = vaddr;
	at->next = at->target = CODE_NONE;
	if (!f->source->fetch(f->source->context, vaddr, &at->bytes, &size) ||
	    !decode(at->bytes, size, &at->insn, at->op))
		at->end = CODE_IS_LOST;
	*ret = f->code.count++;
	*bucket = *ret + 1;
	return 0;
}

/* Of a jump that leaves for a function known by its address. */
static enum code_end end_of(const struct code_source *source, uint64_t target)
{
	if (is_in(source->by_itself, source->by_itself_count, target))
		return CODE_LEAVES;
	if (is_in(source->returns_argument, source->returns_argument_count, target))
		return CODE_RETURNS_ARGUMENT;
	if (is_in(source->noreturn, source->noreturn_count, target))
		return CODE_DIES;
	return CODE_GOES_ON;
}

static void note_call(struct follower *f, struct code_instruction *at)
{
	const struct code_source *source = f->source;

	at->is_call = true;
	if (!at->is_direct)
		return;
	at->returns_argument = end_of(source, at->to) == CODE_RETURNS_ARGUMENT;
	if (end_of(source, at->to) == CODE_DIES)
		at->end = CODE_DIES;
	at->calls_by_itself = end_of(source, at->to) == CODE_LEAVES;
	f->code.calls_by_itself |= at->calls_by_itself;
}

/* The list may move while others are visited: so by number. */
static int follow(struct follower *f, uint32_t number)
{
	struct code_instruction *at = &f->code.list[number];
	bool is_conditional = at->insn.meta.category == ZYDIS_CATEGORY_COND_BR;
	bool is_jump = is_conditional || at->insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR;
	uint64_t behind = at->vaddr + at->insn.length;
	enum code_end end;
	uint32_t other;
	int r = 0;

	if (at->end == CODE_IS_LOST)
		return 0;
	at->is_direct = at->insn.raw.imm[0].is_relative;
	at->to = behind + at->insn.raw.imm[0].value.s;
	if (at->insn.meta.category == ZYDIS_CATEGORY_RET)
		at->end = CODE_RETURNS;
	else if (decode_is_dead_end(&at->insn))
		at->end = CODE_DIES;
	else if (at->insn.meta.category == ZYDIS_CATEGORY_CALL)
		note_call(f, at);
	else if (is_jump && !at->is_direct)
		at->end = CODE_IS_LOST;
	if (at->end != CODE_GOES_ON)
		return 0;
	if (is_jump) {
		end = end_of(f->source, at->to);
		if (!is_conditional && end != CODE_GOES_ON) {
			at->end = end;
			return 0;
		}
		if (is_conditional && end != CODE_GOES_ON && end != CODE_DIES) {
			at->end = CODE_IS_LOST; /* two ways out of one instruction */
			return 0;
		}
		if (end == CODE_GOES_ON) {
			r = visit(f, at->to, &other);
			if (r < 0)
				return r;
			f->code.list[number].target = other;
		}
		if (!is_conditional)
			return 0;
	}
	r = visit(f, behind, &other);
	if (r == 0)
		f->code.list[number].next = other;
	return r;
}

int code_follow(const struct code_source *source, uint64_t vaddr, struct code *ret)
{
	_cleanup_free_ uint32_t *buckets = calloc(BUCKETS, sizeof(*buckets));
	struct follower f = { source, { 0 }, 0, buckets };
	uint32_t first;
	int r = buckets ? visit(&f, vaddr, &first) : -ENOMEM;

	for (uint32_t i = 0; r == 0 && i < f.code.count; i++)
		r = follow(&f, i);
	if (r < 0) {
		code_deinit(&f.code);
		return r;
	}
	*ret = f.code;
	return 0;
}

/* Of jcc, whose opcodes end in the condition (Intel SDM vol. 2, Jcc); loop and jrcxz have none. */
static bool has_condition(const ZydisDecodedInstruction *insn)
{
	uint8_t first = insn->opcode_map == ZYDIS_OPCODE_MAP_0F ? 0x80 : 0x70;

	return insn->meta.category == ZYDIS_CATEGORY_COND_BR && (insn->opcode & 0xf0) == first;
}

/* The way out that leads to *to. */
static void split(struct code *code, uint32_t number, uint32_t *to, uint8_t condition)
{
	struct code_instruction *way = &code->list[code->count];

	*way = code->list[number];
	way->next = *to;
	way->target = CODE_NONE;
	way->condition = condition + 1;
	*to = code->count++;
}

int code_split_jumps(struct code *code)
{
	uint32_t count = code->count;
	struct code_instruction *grown = reallocarray(code->list, 3ul * count, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	code->list = grown;
	for (uint32_t i = 0; i < count; i++) {
		struct code_instruction *at = &code->list[i];

		if (at->target == CODE_NONE || at->next == CODE_NONE || !has_condition(&at->insn))
			continue;
		split(code, i, &at->target, at->insn.opcode & 15);
		split(code, i, &at->next, (at->insn.opcode & 15) ^ 1);
	}
	return 0;
}

void code_deinit(struct code *code)
{
	free(code->list);
	*code = (struct code){ 0 };
}
