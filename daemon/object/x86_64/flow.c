#include "daemon/object/machine/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

struct walk {
	const uint8_t *code;
	size_t size;
	uint64_t vaddr;
	uint8_t *seen;	/* by offset: it is or was in work */
	uint32_t *work; /* offsets to look at; each comes here once */
	size_t work_count;
	const uint64_t *noreturn;
	size_t noreturn_count;
	struct flow flow;
	size_t ret_capacity, target_capacity, call_capacity;
};

static int append(uint64_t **list, size_t *count, size_t *capacity, uint64_t value)
{
	if (array_make_room(list, capacity, *count))
		return -ENOMEM;
	(*list)[(*count)++] = value;
	return 0;
}

static int append_tail(struct walk *w, struct flow_tail tail)
{
	struct flow *flow = &w->flow;
	struct flow_tail *grown;

	grown = reallocarray(flow->tails, flow->tail_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	flow->tails = grown;
	grown[flow->tail_count++] = tail;
	return 0;
}

static void visit_later(struct walk *w, uint64_t offset)
{
	if (!w->seen[offset]) {
		w->seen[offset] = 1;
		w->work[w->work_count++] = offset;
	}
}

/* offset is relative to the entry and wraps around for code before it. */
static int go_to(struct walk *w, uint64_t from, uint64_t offset, bool is_call, bool is_conditional)
{
	struct flow *flow = &w->flow;

	if (is_call && (offset >= w->size || offset == 0))
		return append(&flow->calls, &flow->call_count, &w->call_capacity,
			      w->vaddr + offset);
	if (offset >= w->size)
		return append_tail(w,
				   (struct flow_tail){ w->vaddr + offset, from, is_conditional });
	if (offset == 0) {
		flow->jumps_to_entry = true;
		return 0;
	}
	/* What is called is another function, even where the end of this one is not known. */
	if (!is_call)
		visit_later(w, offset);
	return append(&flow->targets, &flow->target_count, &w->target_capacity, offset);
}

static bool returns(const struct walk *w, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < w->noreturn_count; i++)
		if (w->noreturn[i] == vaddr)
			return false;
	return true;
}

static int visit(struct walk *w, uint64_t offset)
{
	ZydisDecodedInstruction insn;
	uint64_t next;
	bool is_branch, is_call;
	int r;

	if (!decode(w->code + offset, w->size - offset, &insn, NULL)) {
		/* Cut off by the end of the bytes, or no instruction? */
		if (w->size - offset < ZYDIS_MAX_INSTRUCTION_LENGTH)
			w->flow.runs_over_end = true;
		else
			w->flow.has_undecodable = true;
		return 0;
	}
	w->flow.instruction_count++;
	next = offset + insn.length;
	is_call = insn.meta.category == ZYDIS_CATEGORY_CALL;
	is_branch = insn.meta.category == ZYDIS_CATEGORY_COND_BR ||
		    insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR;
	if (insn.meta.category == ZYDIS_CATEGORY_RET)
		return append(&w->flow.rets, &w->flow.ret_count, &w->ret_capacity, offset);
	if (decode_is_dead_end(&insn))
		return 0;
	if ((is_branch || is_call) && insn.raw.imm[0].is_relative) {
		r = go_to(w, offset, next + insn.raw.imm[0].value.s, is_call,
			  insn.meta.category == ZYDIS_CATEGORY_COND_BR);
		if (r < 0 || (is_call && !returns(w, w->vaddr + next + insn.raw.imm[0].value.s)))
			return r;
	} else if (is_branch) {
		w->flow.has_indirect = true;
	}
	if (insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR)
		return 0;
	if (next < w->size)
		visit_later(w, next);
	else if (!is_call) /* behind a last call nothing follows: it does not return */
		w->flow.runs_over_end = true;
	return 0;
}

/* With a jump table in the function, code that only the table leads to is found by decoding all
 * bytes from the entry on; too many jumps found are harmless. */
static int sweep(struct walk *w)
{
	ZydisDecodedInstruction insn;
	uint64_t offset = 0, target;
	int r;

	while (offset < w->size) {
		if (!decode(w->code + offset, w->size - offset, &insn, NULL)) {
			offset++;
			continue;
		}
		target = offset + insn.length + insn.raw.imm[0].value.s;
		if ((insn.meta.category == ZYDIS_CATEGORY_COND_BR ||
		     insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR) &&
		    insn.raw.imm[0].is_relative && target > 0 && target < w->size) {
			r = append(&w->flow.targets, &w->flow.target_count, &w->target_capacity,
				   target);
			if (r < 0)
				return r;
		}
		offset += insn.length;
	}
	return 0;
}

int flow_follow(const uint8_t *code, size_t size, uint64_t vaddr, const uint64_t *noreturn,
		size_t noreturn_count, struct flow *ret)
{
	_cleanup_free_ uint8_t *seen = NULL;
	_cleanup_free_ uint32_t *work = NULL;
	struct walk w = { .code = code,
			  .size = size,
			  .vaddr = vaddr,
			  .noreturn = noreturn,
			  .noreturn_count = noreturn_count };
	int r = 0;

	if (size == 0)
		return -EINVAL;
	if (w.size > FLOW_MAX_BYTES)
		w.size = FLOW_MAX_BYTES;
	w.seen = seen = calloc(w.size, 1);
	w.work = work = calloc(w.size, sizeof(*work));
	if (!seen || !work)
		return -ENOMEM;
	visit_later(&w, 0);
	while (w.work_count > 0 && r == 0)
		r = visit(&w, w.work[--w.work_count]);
	if (r == 0 && w.flow.has_indirect)
		r = sweep(&w);
	if (r < 0) {
		flow_deinit(&w.flow);
		return r;
	}
	*ret = w.flow;
	return 0;
}

void flow_deinit(struct flow *flow)
{
	free(flow->rets);
	free(flow->targets);
	free(flow->tails);
	free(flow->calls);
	*flow = (struct flow){ 0 };
}

bool flow_is_endless(const uint8_t *code, size_t size, uint64_t vaddr)
{
	struct flow flow;
	bool is_endless;

	if (flow_follow(code, size, vaddr, NULL, 0, &flow))
		return false;
	is_endless = !flow.ret_count && !flow.tail_count && !flow.has_indirect &&
		     !flow.has_undecodable && !flow.runs_over_end;
	flow_deinit(&flow);
	return is_endless;
}

/* ret; at the end hlt, ud2 or a call: of all the others some jump or return stands there. */
bool flow_may_be_endless(const uint8_t *code, size_t size)
{
	const uint8_t *end = code + size;

	return !memchr(code, 0xc3, size) || end[-1] == 0xf4 ||
	       (size >= 2 && end[-2] == 0x0f && end[-1] == 0x0b) || (size >= 5 && end[-5] == 0xe8);
}
