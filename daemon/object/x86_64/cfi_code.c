#include "daemon/object/machine/cfi_code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "code_functions.h"
#include "code_pieces.h"
#include "daemon/object/machine/flow.h"
#include "function_code.h"
#include "proto/base/cleanup.h"

struct reader {
	struct code_functions functions;
	struct function_code function; /* that is being read */
	uint32_t reading;
	struct code_pieces pieces;
};

static void reader_deinit(struct reader *reader)
{
	code_functions_deinit(&reader->functions);
	function_code_deinit(&reader->function);
	free(reader->pieces.list);
}

/* ---- what was read ------------------------------------------------------------------------ */

/* mov $15,%rax; syscall: where signal handlers return to in libraries that say no more about it
 * (x86-64 has had this one form only; debuggers know it by these bytes, too). */
static const uint8_t sigreturn[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };

static bool is_sigreturn(const struct cfi_code_range *range, uint64_t addr)
{
	return range->end - addr >= sizeof(sigreturn) &&
	       memcmp(range->bytes + (addr - range->start), sigreturn, sizeof(sigreturn)) == 0;
}

static struct dhat_row row_of(const struct stack_place *place)
{
	struct dhat_row row = { .fp = place->rbp };

	if (place->is_outermost)
		return (struct dhat_row){ .cfa = DHAT_CFA_END };
	/* by rbp where that can be: V8's functions take arguments off their callers' stacks */
	row.cfa = place->has_rbp ? DHAT_CFA_FP : DHAT_CFA_SP;
	row.cfa_offset = place->has_rbp ? place->cfa_from_rbp : place->cfa_from_rsp;
	return row;
}

/* Of a function that does not return, proved once more: where a stack may begin. */
#define MAX_ENDLESS_BYTES 4096
static bool is_endless(const struct reader *reader, const struct cfi_code_range *range,
		       uint64_t addr)
{
	const struct function *function = &reader->functions.list[reader->function.number];
	size_t size = range->end - addr;

	return addr == function->entry && function->state == FUNCTION_DOES_NOT_RETURN &&
	       flow_is_endless(range->bytes + (addr - range->start),
			       size < MAX_ENDLESS_BYTES ? size : MAX_ENDLESS_BYTES, addr);
}

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* The pieces of the function that was read last. Its places are in order afterwards. */
static int collect(struct reader *reader)
{
	struct function_code *f = &reader->function;
	struct code_piece piece = { .function = f->number, .reading = reader->reading };
	const struct cfi_code_range *range;
	const struct place *place;
	uint64_t end = 0;
	size_t i;
	int r = 0;

	if (f->place_count)
		qsort(f->places, f->place_count, sizeof(*f->places), compare_places);
	for (i = 0; r == 0 && i < f->place_count; i++) {
		place = &f->places[i];
		if (place->addr < end)
			continue;
		range = code_functions_range(&reader->functions, place->addr);
		piece.piece =
			(struct cfi_code_piece){ place->addr, place->addr + place->stack.length,
						 row_of(&place->stack) };
		if (reader->function.number && is_endless(reader, range, place->addr))
			piece.piece.row.cfa |= DHAT_CFA_ENDLESS;
		if (is_sigreturn(range, place->addr)) {
			/* the handler returns to it without a call before: looked up a byte before
			 */
			if (place->addr > range->start)
				piece.piece.start--;
			end = place->addr + sizeof(sigreturn);
			piece.piece.end = end;
			piece.piece.row = (struct dhat_row){ .cfa = DHAT_CFA_SIGNAL };
		}
		r = code_pieces_add(&reader->pieces, piece);
	}
	return r;
}

/* ---- all functions ------------------------------------------------------------------------ */

static int read_function(struct reader *reader, uint32_t number)
{
	int r;

	r = function_code_read(&reader->function, number);
	if (r < 0)
		return r;
	/* what was read of it before is void */
	reader->functions.list[number].reading = ++reader->reading;
	return reader->function.is_inconsistent ? 0 : collect(reader);
}

static uint32_t count_unread(const struct reader *reader)
{
	uint32_t count = 0;

	for (uint32_t i = 1; i < reader->functions.count; i++)
		count += reader->functions.list[i].is_stale ||
			 reader->functions.list[i].state == FUNCTION_UNREAD;
	return count;
}

static int read_all(struct reader *reader)
{
	const struct cfi_code *code = reader->functions.code;
	uint64_t limit = code->max_instructions ?: CFI_CODE_MAX_INSTRUCTIONS;
	struct function *function;
	bool is_any_postponed;
	uint32_t i;
	int r = 0;

	if (code->outermost)
		r = read_function(reader, 0);
	if (r < 0)
		return r;
	do {
		is_any_postponed = false;
		for (i = 0; i < reader->functions.count; i++) {
			function = &reader->functions.list[i];
			if (!function->is_stale && (i == 0 || function->state != FUNCTION_UNREAD))
				continue;
			if (reader->function.instruction_count >= limit) {
				if (code->ret_unread)
					*code->ret_unread = count_unread(reader);
				return 0;
			}
			r = read_function(reader, i);
			is_any_postponed |= r == -EAGAIN;
			if (r < 0 && r != -EAGAIN)
				return r;
		}
	} while (code_functions_find_stale(&reader->functions) || is_any_postponed);
	return 0;
}

int cfi_code_read(const struct cfi_code *code, struct cfi_code_piece **ret, size_t *ret_count)
{
	_cleanup_(reader_deinit) struct reader reader = {};
	_cleanup_free_ uint32_t *last_reading = NULL;
	size_t i;
	int r;

	r = code_functions_init(&reader.functions, code);
	if (r == 0)
		r = function_code_init(&reader.function, &reader.functions);
	if (r == 0)
		r = read_all(&reader);
	if (r < 0)
		return r;
	last_reading = calloc(reader.functions.count, sizeof(*last_reading));
	if (!last_reading)
		return -ENOMEM;
	for (i = 0; i < reader.functions.count; i++)
		last_reading[i] = reader.functions.list[i].reading;
	return code_pieces_finish(&reader.pieces, last_reading, ret, ret_count);
}
