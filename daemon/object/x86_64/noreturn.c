/* noreturn: which calls do not come back: code_follow_proven().
 *
 * A function that writes a message and aborts is seldom exported, and a compiler lets other code
 * follow a call of it. It is proven by following it: no return is reached. Some do return, but not
 * when called with this constant: glibc's __libc_message (malloc_printerr and assertions in malloc
 * call it).
 */
#include <errno.h>
#include <stdlib.h>

#include "code.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "values.h"

#define MAX_DEPTH 4   /* of calls in calls */
#define MAX_PROOFS 96 /* functions followed for one that is asked for */
#define MAX_ROUNDS 4  /* each call that is found not to return may make others known */

enum { RDI = 7 };

struct proof {
	uint64_t vaddr;
	struct value argument;
	bool comes_back;
};

struct prover {
	const struct code_source *source;
	struct proof *proofs;
	size_t count, room;
};

static int prune(struct prover *p, struct code *code, struct value argument, int depth,
		 struct values *values);

static bool is_same(struct value a, struct value b)
{
	return a.kind == b.kind && a.number == b.number;
}

/* Until it is proven, it comes back: so does one that calls itself meanwhile. */
static int comes_back(struct prover *p, uint64_t vaddr, struct value argument, int depth, bool *ret)
{
	_cleanup_(code_deinit) struct code code = { 0 };
	_cleanup_free_ struct values *values = NULL;
	size_t number = p->count;
	int r;

	*ret = true;
	for (size_t i = 0; i < p->count; i++) {
		if (p->proofs[i].vaddr != vaddr || !is_same(p->proofs[i].argument, argument))
			continue;
		*ret = p->proofs[i].comes_back;
		return 0;
	}
	if (depth == MAX_DEPTH || p->count == MAX_PROOFS)
		return 0;
	if (array_make_room(&p->proofs, &p->room, p->count))
		return -ENOMEM;
	p->proofs[p->count++] = (struct proof){ vaddr, argument, true };
	r = code_follow(p->source, vaddr, &code);
	if (r < 0)
		return r == -ENOTSUP ? 0 : r;
	values = calloc(code.count, sizeof(*values));
	r = values ? prune(p, &code, argument, depth + 1, values) : -ENOMEM;
	if (r < 0)
		return r;
	if (!values_are_followed(&code, values))
		return 0;
	*ret = false;
	for (uint32_t i = 0; i < code.count; i++)
		*ret |= values[i].is_reached && code.list[i].end != CODE_GOES_ON &&
			code.list[i].end != CODE_DIES;
	p->proofs[number].comes_back = *ret;
	return 0;
}

static struct value constant_of(struct value value)
{
	return value.kind == VALUE_CONSTANT || value.kind == VALUE_ZERO ? value
									: (struct value){ 0 };
}

/* Take the ways behind calls that do not come back out of the code. values: of the last round. */
static int prune(struct prover *p, struct code *code, struct value argument, int depth,
		 struct values *values)
{
	bool has_changed = true;
	int r = 0;

	for (int round = 0; round < MAX_ROUNDS && has_changed && r == 0; round++) {
		has_changed = false;
		r = values_at_entry(code, argument, values);
		for (uint32_t i = 0; i < code->count && r == 0; i++) {
			struct code_instruction *at = &code->list[i];
			bool is_back = true;

			if (!values[i].is_reached || !at->is_call || !at->is_direct ||
			    at->end != CODE_GOES_ON)
				continue;
			r = comes_back(p, at->to, constant_of(values[i].reg[RDI]), depth, &is_back);
			if (r < 0 || is_back)
				continue;
			at->end = CODE_DIES;
			at->next = CODE_NONE;
			has_changed = true;
		}
	}
	return r;
}

int code_follow_proven(const struct code_source *source, uint64_t vaddr, struct code *ret)
{
	struct prover prover = { .source = source };
	_cleanup_(code_deinit) struct code code = { 0 };
	_cleanup_free_ struct values *values = NULL;
	int r = code_follow(source, vaddr, &code);

	if (r < 0)
		return r;
	values = calloc(code.count, sizeof(*values));
	r = values ? prune(&prover, &code, (struct value){ 0 }, 0, values) : -ENOMEM;
	free(prover.proofs);
	if (r < 0)
		return r;
	*ret = code;
	code = (struct code){ 0 };
	return 0;
}
