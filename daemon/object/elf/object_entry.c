#include "object_entry.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/object/machine/machine.h"
#include "daemon/object/machine/references.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define MAX_DATA_BYTES (256ull << 20)
#define MAX_FUNCTIONS (8u << 20)
#define MAX_TEXTS 512
/* Between two functions of an allocator that refer to texts: 124 KiB in the largest seen. */
#define MAX_GAP_BYTES (160u << 10)
/* How far its functions go on before the first and behind the last such; only a call through the
 * GOT, which is one from another compilation, is believed there: see find_own(). */
#define MARGIN_BYTES (64u << 10)
#define MAX_PASSES 8 /* of calls to calls: three are enough */
/* A direct call from so near may be one of its own functions that calls another. */
#define NEIGHBOUR_BYTES (256u << 10)

static const struct {
	unsigned maker;
	const char *text; /* beginnings of messages */
} anchors[] = {
	{ OBJECT_MAKER_JEMALLOC, "<jemalloc>: " },
	{ OBJECT_MAKER_MIMALLOC, "mimalloc: " },
	{ OBJECT_MAKER_MIMALLOC, "allocation request is too large" },
	{ OBJECT_MAKER_MIMALLOC, "corrupted thread-free list" },
	{ OBJECT_MAKER_MIMALLOC, "unable to allocate memory" },
	{ OBJECT_MAKER_MIMALLOC, "aligned allocation request" },
};

struct piece { /* a segment in memory */
	uint8_t *bytes;
	uint64_t vaddr, size;
};

struct pieces {
	struct piece list[16];
	size_t count;
};

struct finder {
	struct object_reader *r;
	struct pieces code, data, constants;
	uint64_t *starts; /* of functions, ascending … */
	uint64_t *fdes;	  /* … and their entries in .eh_frame */
	size_t start_count;
	uint64_t texts[MAX_TEXTS]; /* ascending */
	size_t text_count;
	uint64_t low, high; /* the stretch */
	uint8_t *is_inner;  /* of each function: called from the stretch */
	uint8_t *is_own;    /* … or it is the allocator's by other signs */
};

static void pieces_deinit(struct pieces *pieces)
{
	for (size_t i = 0; i < pieces->count; i++)
		free(pieces->list[i].bytes);
}

static void finder_deinit(struct finder *f)
{
	pieces_deinit(&f->code);
	pieces_deinit(&f->data);
	pieces_deinit(&f->constants);
	free(f->starts);
	free(f->fdes);
	free(f->is_inner);
	free(f->is_own);
}

static int load(struct finder *f, const struct object_segment *s, struct pieces *pieces,
		uint64_t max_bytes)
{
	struct piece *piece = &pieces->list[pieces->count];
	uint64_t done = 0;
	ssize_t n;

	if (pieces->count == ARRAY_SIZE(pieces->list) || s->file_size > max_bytes || !s->file_size)
		return 0;
	piece->bytes = malloc(s->file_size);
	if (!piece->bytes)
		return -ENOMEM;
	pieces->count++;
	piece->vaddr = s->vaddr;
	while (done < s->file_size) {
		n = pread(f->r->fd, piece->bytes + done, s->file_size - done,
			  s->file_offset + done);
		if (n <= 0)
			break;
		done += n;
	}
	piece->size = done;
	return 0;
}

static int load_all(struct finder *f)
{
	const struct object *object = f->r->object;
	int r = 0;

	for (size_t i = 0; i < object->desc.segment_count && r == 0; i++) {
		const struct object_segment *s = &object->desc.segments[i];

		if (s->is_executable)
			r = load(f, s, &f->code, OBJECT_ENTRY_CODE_BYTES);
		else if (s->is_writable)
			r = load(f, s, &f->data, MAX_DATA_BYTES);
		else
			r = load(f, s, &f->constants, MAX_DATA_BYTES);
	}
	return r;
}

static bool read_u64(const struct pieces *pieces, uint64_t vaddr, uint64_t *ret)
{
	for (size_t i = 0; i < pieces->count; i++) {
		const struct piece *p = &pieces->list[i];

		if (vaddr < p->vaddr || vaddr - p->vaddr >= p->size ||
		    p->size - (vaddr - p->vaddr) < sizeof(*ret))
			continue;
		memcpy(ret, p->bytes + (vaddr - p->vaddr), sizeof(*ret));
		return true;
	}
	return false;
}

/* Linkers fold all functions that do nothing into one. */
static bool does_nothing(const struct finder *f, uint64_t vaddr)
{
	for (size_t i = 0; i < f->code.count; i++) {
		const struct piece *p = &f->code.list[i];

		if (vaddr >= p->vaddr && vaddr - p->vaddr < p->size)
			return references_none(p->bytes + (vaddr - p->vaddr));
	}
	return true;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool holds(const uint64_t *list, size_t count, uint64_t value)
{
	return bsearch(&value, list, count, sizeof(value), compare_u64);
}

/* ---- functions ---------------------------------------------------------------------------- */

/* The binary search table, as every linker writes it: 4-byte numbers relative to the header. */
static int read_starts(struct finder *f)
{
	GElf_Phdr ph = { 0 };
	uint8_t head[12];
	uint32_t count;
	size_t i, n;
	int32_t *table;

	if (elf_getphdrnum(f->r->elf, &n) < 0)
		return 0;
	for (i = 0; i < n && ph.p_type != PT_GNU_EH_FRAME; i++)
		if (!gelf_getphdr(f->r->elf, i, &ph))
			return 0;
	if (ph.p_type != PT_GNU_EH_FRAME ||
	    pread(f->r->fd, head, sizeof(head), ph.p_offset) != sizeof(head) || head[0] != 1 ||
	    head[2] != DW_EH_PE_udata4 || head[3] != (DW_EH_PE_datarel | DW_EH_PE_sdata4))
		return 0;
	memcpy(&count, head + 8, sizeof(count));
	if (!count || count > MAX_FUNCTIONS || count > f->r->file_size / 8)
		return 0;
	table = malloc(8ul * count);
	f->starts = malloc(count * sizeof(*f->starts));
	f->fdes = malloc(count * sizeof(*f->fdes));
	if (table && f->starts && f->fdes &&
	    pread(f->r->fd, table, 8ul * count, ph.p_offset + sizeof(head)) ==
		    (ssize_t)(8ul * count)) {
		for (i = 0; i < count; i++) {
			f->starts[i] = ph.p_vaddr + table[2 * i];
			f->fdes[i] = ph.p_vaddr + table[2 * i + 1];
			if (i && f->starts[i] < f->starts[i - 1])
				break; /* it has to be sorted */
		}
		f->start_count = i == count ? count : 0;
	}
	n = table && f->starts && f->fdes;
	free(table);
	return n ? 0 : -ENOMEM;
}

/* Number of the function that holds the address; SIZE_MAX: none. */
static size_t function_at(const struct finder *f, uint64_t vaddr)
{
	size_t low = 0, high = f->start_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (f->starts[middle] <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : SIZE_MAX;
}

/* A return probe belongs at the beginning of a function only: there it finds the return address.
 * A cold part has an FDE of its own, too, which begins by saying that the frame is elsewhere; a
 * function's begins with its first instructions. (DWARF 5, 6.4.2 and 6.4.4; LSB 10.6.1: the address
 * and its range have 4 bytes each in what every compiler writes, and are followed by the length of
 * the augmentation.) */
static bool is_entry(const struct finder *f, uint64_t vaddr)
{
	size_t function = function_at(f, vaddr);
	uint8_t fde[64];
	uint64_t offset, left;
	size_t at;

	if (function == SIZE_MAX || f->starts[function] != vaddr ||
	    !object_offset_of_data(f->r->object, f->fdes[function], &offset, &left) ||
	    left < sizeof(fde) || pread(f->r->fd, fde, sizeof(fde), offset) != sizeof(fde))
		return false;
	if (does_nothing(f, vaddr))
		return false;
	at = 17 + fde[16];
	if (fde[16] > 32)
		return false;
	return fde[at] == DW_CFA_nop || fde[at] >> 6 == DW_CFA_advance_loc >> 6 ||
	       fde[at] == DW_CFA_advance_loc1 || fde[at] == DW_CFA_advance_loc2 ||
	       fde[at] == DW_CFA_advance_loc4;
}

/* ---- the stretch -------------------------------------------------------------------------- */

static void find_texts(struct finder *f, unsigned maker)
{
	f->text_count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(anchors); i++) {
		size_t length = strlen(anchors[i].text);

		for (size_t k = 0; k < f->constants.count && anchors[i].maker == maker; k++) {
			const struct piece *p = &f->constants.list[k];
			const uint8_t *at = p->bytes, *end = p->bytes + p->size;

			while (f->text_count < MAX_TEXTS &&
			       (at = memmem(at, end - at, anchors[i].text, length))) {
				/* a whole string begins here */
				if (at > p->bytes && at[-1] == '\0')
					f->texts[f->text_count++] = p->vaddr + (at - p->bytes);
				at++;
			}
		}
	}
	qsort(f->texts, f->text_count, sizeof(*f->texts), compare_u64);
}

/* Functions that refer to a text, each once for each reference. */
static int find_users(const struct finder *f, uint64_t **ret, size_t *ret_count)
{
	uint64_t *users = NULL;
	size_t count = 0, capacity = 0;

	for (size_t k = 0; k < f->code.count; k++) {
		const struct piece *p = &f->code.list[k];

		struct reference taken;

		for (size_t at = 0; references_next(p->bytes, p->size, p->vaddr, REFERENCE_ADDRESS,
						    &at, &taken);) {
			size_t function;

			if (!holds(f->texts, f->text_count, taken.target))
				continue;
			function = function_at(f, taken.vaddr);
			if (function == SIZE_MAX)
				continue;
			if (array_make_room(&users, &capacity, count)) {
				free(users);
				return -ENOMEM;
			}
			users[count++] = f->starts[function];
		}
	}
	if (count)
		qsort(users, count, sizeof(*users), compare_u64);
	*ret = users;
	*ret_count = count;
	return 0;
}

/* Cold parts lie apart: the largest group is meant. */
static bool find_stretch(struct finder *f, const uint64_t *users, size_t count)
{
	size_t best = 0, first = 0;

	for (size_t i = 1; i <= count; i++) {
		if (i < count && users[i] - users[i - 1] <= MAX_GAP_BYTES)
			continue;
		if (i - first > best) {
			size_t last = function_at(f, users[i - 1]);

			best = i - first;
			f->low = users[first];
			f->high = last + 1 < f->start_count ? f->starts[last + 1]
							    : users[i - 1] + MARGIN_BYTES;
		}
		first = i;
	}
	return best >= 3;
}

/* ---- entries ------------------------------------------------------------------------------ */

/* By relocations that the dynamic linker adds the base to; those of the RELR kind, and files that
 * need none, have the address in place. */
struct slots {
	struct slot {
		uint64_t vaddr, target;
	} * list;
	size_t count;
};

static int compare_slots(const void *a, const void *b)
{
	return compare_u64(&((const struct slot *)a)->vaddr, &((const struct slot *)b)->vaddr);
}

/* Whether the address is in the stretch, or at most margin bytes from it. */
static bool is_near(const struct finder *f, uint64_t vaddr, uint64_t margin)
{
	return vaddr + margin >= f->low && vaddr < f->high + margin;
}

static int read_slots(const struct finder *f, struct slots *ret)
{
	uint64_t offset, left, capacity = 0;
	Elf_Data *data;
	GElf_Rela rela;

	if (!f->r->rela_size || f->r->rela_size > OBJECT_MAX_TABLE_BYTES ||
	    !object_offset_of_data(f->r->object, f->r->rela, &offset, &left) ||
	    left < f->r->rela_size)
		return 0;
	data = elf_getdata_rawchunk(f->r->elf, offset, f->r->rela_size, ELF_T_RELA);
	for (int i = 0; data && gelf_getrela(data, i, &rela); i++) {
		uint64_t target = rela.r_addend;

		if (GELF_R_TYPE(rela.r_info) != this_machine.relocation_base ||
		    !is_near(f, target, MARGIN_BYTES))
			continue;
		if (array_make_room(&ret->list, &capacity, ret->count))
			return -ENOMEM;
		ret->list[ret->count++] = (struct slot){ rela.r_offset, target };
	}
	if (ret->count)
		qsort(ret->list, ret->count, sizeof(*ret->list), compare_slots);
	return 0;
}

static uint64_t slot_target(const struct finder *f, const struct slots *slots, uint64_t vaddr)
{
	struct slot key = { .vaddr = vaddr }, *slot;
	uint64_t target = 0;

	slot = slots->count ? bsearch(&key, slots->list, slots->count, sizeof(key), compare_slots)
			    : NULL;
	if (slot)
		return slot->target;
	return read_u64(&f->data, vaddr, &target) ? target : 0;
}

static const uint8_t *code_of(const struct finder *f, size_t function, uint64_t *ret_size)
{
	uint64_t start = f->starts[function], end;

	end = function + 1 < f->start_count ? f->starts[function + 1] : start;
	for (size_t i = 0; i < f->code.count; i++) {
		const struct piece *p = &f->code.list[i];

		if (start < p->vaddr || start - p->vaddr >= p->size)
			continue;
		*ret_size = end - start < p->size - (start - p->vaddr)
				    ? end - start
				    : p->size - (start - p->vaddr);
		return p->bytes + (start - p->vaddr);
	}
	return NULL;
}

static bool calls_own(const struct finder *f, size_t function)
{
	uint64_t start = f->starts[function], size = 0;
	const uint8_t *code = code_of(f, function, &size);
	struct reference to;

	for (size_t at = 0;
	     code && references_next(code, size, start, REFERENCE_CALL | REFERENCE_JUMP, &at, &to);)
		if (is_near(f, to.target, MARGIN_BYTES) &&
		    holds(f->starts, f->start_count, to.target) &&
		    f->is_own[function_at(f, to.target)])
			return true;
	return false;
}

/* Which are the allocator's. Beside the stretch may lie anything: a setjmp(), which no return probe
 * must ever sit on. There only what the stretch calls, and what calls that in turn, is believed. */
static int find_own(struct finder *f)
{
	size_t first = function_at(f, f->low > MARGIN_BYTES ? f->low - MARGIN_BYTES : 0);
	bool is_more = true;

	free(f->is_own);
	f->is_own = calloc(f->start_count, 1);
	if (!f->is_own)
		return -ENOMEM;
	first = first == SIZE_MAX ? 0 : first;
	for (size_t i = first; i < f->start_count && f->starts[i] < f->high + MARGIN_BYTES; i++)
		f->is_own[i] = is_near(f, f->starts[i], 0) || f->is_inner[i];
	for (int pass = 0; pass < MAX_PASSES && is_more; pass++) {
		is_more = false;
		for (size_t i = first; i < f->start_count && f->starts[i] < f->high + MARGIN_BYTES;
		     i++) {
			if (f->is_own[i] || !calls_own(f, i))
				continue;
			f->is_own[i] = 1;
			is_more = true;
		}
	}
	return 0;
}

static void count_entry(const struct finder *f, unsigned maker, uint64_t vaddr)
{
	struct object *object = f->r->object;

	for (size_t i = 0; i < object->desc.entry_count; i++) {
		if (object->desc.entries[i].vaddr == vaddr) {
			object->desc.entries[i].calls++;
			return;
		}
	}
	if (object->desc.entry_count < OBJECT_MAX_ENTRIES && is_entry(f, vaddr) &&
	    f->is_own[function_at(f, vaddr)])
		object->desc.entries[object->desc.entry_count++] =
			(struct object_entry){ .vaddr = vaddr,
					       .calls = 1,
					       .maker = maker,
					       .is_inner = f->is_inner[function_at(f, vaddr)] };
}

static void look_at(const struct finder *f, const struct slots *slots, unsigned maker,
		    const struct reference *call)
{
	uint64_t target = call->target, margin = 0;

	if (call->kind == REFERENCE_CALL_SLOT) {
		target = slot_target(f, slots, target);
		margin = MARGIN_BYTES;
	} else if (is_near(f, call->vaddr, NEIGHBOUR_BYTES)) {
		return;
	}
	if (is_near(f, target, margin) && !is_near(f, call->vaddr, 0) &&
	    holds(f->starts, f->start_count, target))
		count_entry(f, maker, target);
}

/* Functions that the stretch calls directly. Others that call them so may be its own, too, that
 * refer to no text and are farther off. */
static int find_inner(struct finder *f)
{
	free(f->is_inner);
	f->is_inner = calloc(f->start_count, 1);
	if (!f->is_inner)
		return -ENOMEM;
	for (size_t k = 0; k < f->code.count; k++) {
		const struct piece *p = &f->code.list[k];
		size_t at = f->low > p->vaddr ? f->low - p->vaddr : 0;
		struct reference to;

		while (references_next(p->bytes, p->size, p->vaddr, REFERENCE_CALL | REFERENCE_JUMP,
				       &at, &to) &&
		       to.vaddr < f->high)
			if (is_near(f, to.target, MARGIN_BYTES) &&
			    holds(f->starts, f->start_count, to.target))
				f->is_inner[function_at(f, to.target)] = 1;
	}
	return 0;
}

static int find_entries(struct finder *f, unsigned maker)
{
	struct slots slots = { 0 };
	int r = find_inner(f);

	if (r == 0)
		r = find_own(f);
	if (r == 0)
		r = read_slots(f, &slots);

	for (size_t k = 0; k < f->code.count && r == 0; k++) {
		const struct piece *p = &f->code.list[k];
		struct reference call;

		/* Only what is called is known to be a function: a jump may lead to a part of
		 * one. */
		for (size_t at = 0;
		     references_next(p->bytes, p->size, p->vaddr,
				     REFERENCE_CALL | REFERENCE_CALL_SLOT, &at, &call);)
			look_at(f, &slots, maker, &call);
	}
	free(slots.list);
	return r;
}

static int compare_entries(const void *a, const void *b)
{
	const struct object_entry *x = a, *y = b;

	return (x->calls < y->calls) - (x->calls > y->calls);
}

static int find_for(struct finder *f, unsigned maker)
{
	uint64_t *users = NULL;
	size_t count = 0;
	int r;

	find_texts(f, maker);
	if (!f->text_count)
		return 0;
	r = find_users(f, &users, &count);
	if (r == 0 && find_stretch(f, users, count))
		r = find_entries(f, maker);
	free(users);
	return r;
}

int object_find_entries(struct object_reader *r)
{
	_cleanup_(finder_deinit) struct finder f = { .r = r };
	int result = read_starts(&f);

	if (result || !f.start_count)
		return result;
	result = load_all(&f);
	for (unsigned maker = 0; maker < OBJECT_MAKER_COUNT && result == 0; maker++)
		if (r->object->desc.makers >> maker & 1 && !object_maker_is_runtime(maker))
			result = find_for(&f, maker);
	qsort(r->object->desc.entries, r->object->desc.entry_count,
	      sizeof(*r->object->desc.entries), compare_entries);
	return result;
}
