#include "scopes.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define MAX_NESTING 64 /* of namespaces, types and blocks that are walked; compilers make a few */

struct range {
	uint64_t low, high; /* [low, high) */
	uint32_t owner;	    /* unit number, or function number within its unit */
};

struct ranges {
	struct range *list;
	uint64_t *max_high; /* up to and including each; bounds the search */
	size_t count, capacity;
};

struct functions {
	struct ranges ranges;
	Dwarf_Die *dies;
	size_t count, capacity;
	bool is_made;
};

struct unit {
	Dwarf_CU *cu;
	Dwarf_Die die, root; /* root: of the functions; the split unit's where there is one */
	bool is_opened;
	const char *missing;   /* NULL, or why there are no functions */
	struct functions flat; /* those outside of other functions */
	struct functions deep; /* all; made when an address is in the unit but in none of `flat` */
};

struct scopes {
	struct split *split;
	struct ranges ranges;
	struct unit *units;
	size_t count, capacity;
};

/* ---- ranges ---- */

static int ranges_add(struct ranges *ranges, uint64_t low, uint64_t high, uint32_t owner)
{
	if (low >= high)
		return 0;
	if (array_make_room(&ranges->list, &ranges->capacity, ranges->count))
		return -ENOMEM;
	ranges->list[ranges->count++] = (struct range){ low, high, owner };
	return 0;
}

/* Ranges at address 0 belong to code that the linker threw away; an object with code there (a
 * position-independent one without headers in its first segment) is not made by any linker. */
static int ranges_add_die(struct ranges *ranges, Dwarf_Die *die, uint32_t owner)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t offset = 0;

	while ((offset = dwarf_ranges(die, offset, &base, &low, &high)) > 0) {
		int r = low ? ranges_add(ranges, low, high, owner) : 0;

		if (r)
			return r;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->low != y->low)
		return x->low < y->low ? -1 : 1;
	if (x->high != y->high) /* the narrower one later: met first by the search */
		return x->high > y->high ? -1 : 1;
	return x->owner > y->owner ? -1 : x->owner < y->owner;
}

static int ranges_sort(struct ranges *ranges)
{
	uint64_t max = 0;

	ranges->max_high = calloc(ranges->count + 1, sizeof(*ranges->max_high));
	if (!ranges->max_high)
		return -ENOMEM;
	if (ranges->count)
		qsort(ranges->list, ranges->count, sizeof(*ranges->list), compare);
	for (size_t i = 0; i < ranges->count; i++) {
		if (ranges->list[i].high > max)
			max = ranges->list[i].high;
		ranges->max_high[i] = max;
	}
	return 0;
}

static const struct range *ranges_find(const struct ranges *ranges, uint64_t vaddr)
{
	size_t low = 0, high = ranges->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges->list[middle].low <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i-- > 0 && ranges->max_high[i] > vaddr;)
		if (ranges->list[i].high > vaddr)
			return &ranges->list[i];
	return NULL;
}

static void ranges_deinit(struct ranges *ranges)
{
	free(ranges->list);
	free(ranges->max_high);
}

/* ---- functions of a unit ---- */

static void functions_deinit(struct functions *functions)
{
	ranges_deinit(&functions->ranges);
	free(functions->dies);
}

static int functions_add(struct functions *functions, Dwarf_Die *die)
{
	int r = ranges_add_die(&functions->ranges, die, functions->count);

	if (r)
		return r;
	if (array_make_room(&functions->dies, &functions->capacity, functions->count))
		return -ENOMEM;
	functions->dies[functions->count++] = *die;
	return 0;
}

static bool has_code(Dwarf_Die *die)
{
	return dwarf_hasattr(die, DW_AT_low_pc) || dwarf_hasattr(die, DW_AT_ranges);
}

/* Nested functions and methods of local classes lie inside other functions. They are rare, and the
 * insides of functions are most of a unit, so these are walked only when is_deep. */
static bool is_walked(int tag, bool is_deep)
{
	switch (tag) {
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type: /* Rust has methods there */
		return true;
	case DW_TAG_subprogram:
	case DW_TAG_lexical_block:
	case DW_TAG_inlined_subroutine:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
		return is_deep;
	default:
		return false;
	}
}

static int walk(struct functions *functions, Dwarf_Die *parent, bool is_deep, int nesting)
{
	Dwarf_Die die;

	if (nesting > MAX_NESTING || dwarf_child(parent, &die))
		return 0;
	do {
		int tag = dwarf_tag(&die);
		int r = 0;

		if (tag == DW_TAG_subprogram && has_code(&die))
			r = functions_add(functions, &die);
		if (!r && is_walked(tag, is_deep))
			r = walk(functions, &die, is_deep, nesting + 1);
		if (r)
			return r;
	} while (dwarf_siblingof(&die, &die) == 0);
	return 0;
}

static Dwarf_Die *find_function(struct functions *functions, struct unit *unit, bool is_deep,
				uint64_t vaddr)
{
	const struct range *range;

	if (!functions->is_made) {
		functions->is_made = true;
		if (walk(functions, &unit->root, is_deep, 0) || ranges_sort(&functions->ranges))
			functions->ranges.count = 0; /* no memory: as if there were none */
	}
	range = ranges_find(&functions->ranges, vaddr);
	return range ? &functions->dies[range->owner] : NULL;
}

/* ---- scopes ---- */

static int scopes_add_unit(struct scopes *scopes, Dwarf_CU *cu, const Dwarf_Die *die)
{
	struct unit *unit;

	if (array_make_room(&scopes->units, &scopes->capacity, scopes->count))
		return -ENOMEM;
	unit = &scopes->units[scopes->count];
	memset(unit, 0, sizeof(*unit));
	unit->cu = cu;
	unit->die = *die;
	return ranges_add_die(&scopes->ranges, &unit->die, scopes->count++);
}

DEFINE_CLEANUP_PTR(struct scopes *, scopes_free)

int scopes_new(Dwarf *dwarf, struct split *split, struct scopes **ret)
{
	_cleanup_(scopes_free_ptr) struct scopes *scopes = calloc(1, sizeof(*scopes));
	Dwarf_CU *cu = NULL;
	uint8_t type;
	Dwarf_Die die;
	int r;

	if (!scopes)
		return -ENOMEM;
	scopes->split = split;
	while (dwarf_get_units(dwarf, cu, &cu, NULL, &type, &die, NULL) == 0) {
		if (type != DW_UT_compile && type != DW_UT_skeleton && type != DW_UT_split_compile)
			continue;
		r = scopes_add_unit(scopes, cu, &die);
		if (r)
			return r;
	}
	r = ranges_sort(&scopes->ranges);
	if (r)
		return r;
	*ret = take_ptr(scopes);
	return 0;
}

void scopes_free(struct scopes *scopes)
{
	if (!scopes)
		return;
	for (size_t i = 0; i < scopes->count; i++) {
		functions_deinit(&scopes->units[i].flat);
		functions_deinit(&scopes->units[i].deep);
	}
	free(scopes->units);
	ranges_deinit(&scopes->ranges);
	free(scopes);
}

/* A skeleton unit's functions are in its split unit. One that has children, as rustc before 1.7x
 * and clang -fsplit-dwarf-inlining write it in DWARF 4, libdw (0.188) takes for a split unit
 * itself: it finds neither that nor the right lines. */
static void open_unit(struct scopes *scopes, struct unit *unit)
{
	uint8_t type = 0;

	if (unit->is_opened)
		return;
	unit->is_opened = true;
	unit->root = unit->die;
	if (dwarf_cu_info(unit->cu, NULL, &type, NULL, NULL, NULL, NULL, NULL))
		return;
	if (type == DW_UT_split_compile)
		unit->missing = "line and inlined calls unknown: its unit is a skeleton with "
				"children, which libdw cannot read";
	else if (type == DW_UT_skeleton && !split_open(scopes->split, unit->cu, &unit->root))
		unit->missing = split_reason(scopes->split);
}

static bool is_block(int tag)
{
	return tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
}

/* Adds the inlined calls below parent that cover vaddr, outermost first. */
static bool find_inlined(Dwarf_Die *parent, uint64_t vaddr, struct scope_hit *hit, int nesting)
{
	Dwarf_Die die;

	if (nesting > MAX_NESTING + SCOPES_MAX_DEPTH || dwarf_child(parent, &die))
		return false;
	do {
		int tag = dwarf_tag(&die);

		if (tag != DW_TAG_inlined_subroutine && !is_block(tag))
			continue;
		if (is_block(tag) && !has_code(&die)) { /* tells nothing of its own */
			if (find_inlined(&die, vaddr, hit, nesting + 1))
				return true;
			continue;
		}
		if (dwarf_haspc(&die, vaddr) <= 0)
			continue;
		if (tag == DW_TAG_inlined_subroutine && hit->depth < SCOPES_MAX_DEPTH)
			hit->chain[hit->depth++] = die;
		find_inlined(&die, vaddr, hit, nesting + 1);
		return true;
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

static void reverse(Dwarf_Die *chain, int depth)
{
	for (int i = 0; i < depth / 2; i++) {
		Dwarf_Die die = chain[i];

		chain[i] = chain[depth - 1 - i];
		chain[depth - 1 - i] = die;
	}
}

bool scopes_find(struct scopes *scopes, uint64_t vaddr, struct scope_hit *ret)
{
	const struct range *range = ranges_find(&scopes->ranges, vaddr);
	struct unit *unit;
	Dwarf_Die *function;

	if (!range)
		return false;
	unit = &scopes->units[range->owner];
	open_unit(scopes, unit);
	ret->cu = unit->die;
	ret->missing = unit->missing;
	ret->depth = 0;
	if (unit->missing)
		return true;
	function = find_function(&unit->flat, unit, false, vaddr);
	if (!function)
		function = find_function(&unit->deep, unit, true, vaddr);
	if (!function)
		return true;
	ret->chain[ret->depth++] = *function;
	find_inlined(function, vaddr, ret, 0);
	reverse(ret->chain, ret->depth);
	return true;
}
