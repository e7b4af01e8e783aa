#include "members.h"

#include <dwarf.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- variables ------------------------------------------------------------------------------ */

struct search {
	struct members_variable *list;
	size_t count, left; /* left: not found yet */
	uint32_t dies;
};

static int compare(const void *a_, const void *b_)
{
	const struct members_variable *a = a_, *b = b_;

	return a->vaddr < b->vaddr ? -1 : a->vaddr > b->vaddr;
}

/* clang writes the address's number in a table (DW_OP_addrx) in the place of the address. */
static bool find_address(Dwarf_Die *die, uint64_t *ret)
{
	Dwarf_Attribute attribute, address;
	Dwarf_Op *operations;
	size_t count;

	if (!dwarf_attr(die, DW_AT_location, &attribute) ||
	    dwarf_getlocation(&attribute, &operations, &count) || count != 1)
		return false;
	if (operations->atom == DW_OP_addr) {
		*ret = operations->number;
		return true;
	}
	return (operations->atom == DW_OP_addrx || operations->atom == DW_OP_GNU_addr_index) &&
	       !dwarf_getlocation_attr(&attribute, operations, &address) &&
	       !dwarf_formaddr(&address, ret);
}

/* Of what a DIE is, or what it completes is. */
static bool find_type(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attribute;

	return dwarf_attr_integrate(die, DW_AT_type, &attribute) &&
	       dwarf_formref_die(&attribute, ret);
}

static void take_variable(struct search *search, Dwarf_Die *die)
{
	struct members_variable wanted = { 0 }, *found;

	if (!find_address(die, &wanted.vaddr))
		return;
	found = bsearch(&wanted, search->list, search->count, sizeof(wanted), compare);
	if (!found || found->is_found)
		return;
	found->is_found = find_type(die, &found->type);
	search->left -= found->is_found;
}

static void search_children(struct search *search, Dwarf_Die *parent, unsigned depth)
{
	Dwarf_Die die;
	int r = dwarf_child(parent, &die);

	for (; r == 0 && search->left; r = dwarf_siblingof(&die, &die)) {
		if (search->dies++ >= MEMBERS_MAX_DIES)
			return;
		if (dwarf_tag(&die) == DW_TAG_variable)
			take_variable(search, &die);
		else if (dwarf_tag(&die) == DW_TAG_namespace && depth < MEMBERS_MAX_DEPTH)
			search_children(search, &die, depth + 1);
	}
}

void members_find(Dwarf *dwarf, struct members_variable *list, size_t count)
{
	struct search search = { list, count, count, 0 };
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;

	while (search.left && search.dies < MEMBERS_MAX_DIES &&
	       dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &die, NULL) == 0)
		search_children(&search, &die, 0);
}

/* ---- types ---------------------------------------------------------------------------------- */

/* Without what only qualifies it, or is another name for it. */
static bool peel(Dwarf_Die *type)
{
	for (unsigned i = 0; i < MEMBERS_MAX_DEPTH; i++) {
		if (!members_is_alias(type))
			return true;
		if (!find_type(type, type))
			return false; /* void */
	}
	return false;
}

static bool is_pointer(Dwarf_Die *type)
{
	int tag = dwarf_tag(type);

	return tag == DW_TAG_pointer_type || tag == DW_TAG_reference_type ||
	       tag == DW_TAG_rvalue_reference_type;
}

static bool find_number(Dwarf_Die *die, unsigned name, uint64_t *ret)
{
	Dwarf_Attribute attribute;

	return dwarf_attr_integrate(die, name, &attribute) && !dwarf_formudata(&attribute, ret);
}

/* Elements of one of an array's dimensions; 0: not told, as of the last member of a struct. */
static uint64_t count_elements(Dwarf_Die *dimension)
{
	uint64_t count;

	if (find_number(dimension, DW_AT_count, &count))
		return count;
	return find_number(dimension, DW_AT_upper_bound, &count) && count < UINT32_MAX ? count + 1
										       : 0;
}

#define MAX_DIMENSIONS 8
#define MAX_CHILDREN 64 /* of an array: its dimensions */

struct array {
	Dwarf_Die element;
	uint64_t element_bytes;
	uint64_t counts[MAX_DIMENSIONS]; /* 0: of the first only */
	unsigned dimensions;
};

static bool find_size(Dwarf_Die *type, unsigned depth, uint64_t *ret);

static bool find_array(Dwarf_Die *type, unsigned depth, struct array *ret)
{
	Dwarf_Die child;
	int r = dwarf_child(type, &child);

	*ret = (struct array){ 0 };
	if (dwarf_hasattr(type, DW_AT_byte_stride) || dwarf_hasattr(type, DW_AT_bit_stride) ||
	    !find_type(type, &ret->element) ||
	    !find_size(&ret->element, depth + 1, &ret->element_bytes) || !ret->element_bytes)
		return false;
	for (unsigned i = 0; r == 0 && i < MAX_CHILDREN; r = dwarf_siblingof(&child, &child), i++) {
		if (dwarf_tag(&child) != DW_TAG_subrange_type)
			continue;
		if (ret->dimensions == MAX_DIMENSIONS || dwarf_hasattr(&child, DW_AT_byte_stride))
			return false;
		ret->counts[ret->dimensions] = count_elements(&child);
		if (ret->dimensions && !ret->counts[ret->dimensions])
			return false;
		ret->dimensions++;
	}
	return ret->dimensions > 0;
}

/* Bytes of all elements below one of dimension `from`; 0: too many. */
static uint64_t bytes_below(const struct array *array, unsigned from)
{
	uint64_t bytes = array->element_bytes;

	for (unsigned i = from + 1; i < array->dimensions; i++)
		if (__builtin_mul_overflow(bytes, array->counts[i], &bytes))
			return 0;
	return bytes;
}

static bool find_size(Dwarf_Die *type, unsigned depth, uint64_t *ret)
{
	struct array array;

	if (depth > MEMBERS_MAX_DEPTH || !peel(type))
		return false;
	if (find_number(type, DW_AT_byte_size, ret))
		return true;
	if (is_pointer(type)) {
		*ret = sizeof(uint64_t);
		return true;
	}
	return dwarf_tag(type) == DW_TAG_array_type && find_array(type, depth, &array) &&
	       !__builtin_mul_overflow(bytes_below(&array, 0), array.counts[0], ret);
}

/* ---- paths ---------------------------------------------------------------------------------- */

#define MAX_STEPS 65536 /* members that are looked at for one path: unions multiply */

struct path {
	char *text; /* MEMBERS_PATH_CHARS */
	uint32_t steps;
	size_t length;
	uint64_t left;	    /* distance that it does not explain */
	bool ends_at_value; /* of a type that has no parts, and nothing is left */
	bool ends_at_pointer, is_too_long;
	Dwarf_Die pointer; /* that it ends at */
};

__attribute__((format(printf, 2, 3))) static void extend(struct path *path, const char *format, ...)
{
	size_t room = MEMBERS_PATH_CHARS - path->length;
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(path->text + path->length, room, format, args);
	va_end(args);
	if (size < 0 || (size_t)size >= room)
		path->is_too_long = true;
	else
		path->length += size;
}

static void follow(struct path *path, Dwarf_Die *type, unsigned depth);

/* Does it have a part at that distance, which is one of the object's own? Bases have no names, and
 * neither have structs and unions that were put in without one. */
static bool is_there(Dwarf_Die *member, uint64_t within, Dwarf_Die *ret_type, uint64_t *ret_within)
{
	int tag = dwarf_tag(member);
	uint64_t at = 0, bytes;
	Dwarf_Die measured;

	if ((tag != DW_TAG_member && tag != DW_TAG_inheritance) ||
	    dwarf_hasattr(member, DW_AT_bit_size) || dwarf_hasattr(member, DW_AT_external) ||
	    dwarf_hasattr(member, DW_AT_virtuality) || !find_type(member, ret_type))
		return false;
	if (dwarf_hasattr(member, DW_AT_data_member_location) &&
	    !find_number(member, DW_AT_data_member_location, &at))
		return false;
	measured = *ret_type;
	if (!find_size(&measured, 0, &bytes) || within < at || within - at >= bytes)
		return false;
	*ret_within = within - at;
	return true;
}

static void enter(struct path *path, Dwarf_Die *member, Dwarf_Die *type, uint64_t within,
		  unsigned depth)
{
	const char *name = dwarf_diename(member);

	if (name && *name && dwarf_tag(member) == DW_TAG_member)
		extend(path, ".%s", name);
	path->left = within;
	follow(path, type, depth + 1);
}

static void follow_struct(struct path *path, Dwarf_Die *type, unsigned depth)
{
	Dwarf_Die member, member_type;
	int r = dwarf_child(type, &member);
	uint64_t within;

	for (; r == 0 && path->steps++ < MAX_STEPS; r = dwarf_siblingof(&member, &member)) {
		if (!is_there(&member, path->left, &member_type, &within))
			continue;
		enter(path, &member, &member_type, within, depth);
		return;
	}
}

static void follow_union(struct path *path, Dwarf_Die *type, unsigned depth)
{
	char text[MEMBERS_PATH_CHARS];
	struct path found = *path;
	Dwarf_Die member, member_type;
	int r = dwarf_child(type, &member);
	unsigned pointers = 0;
	uint64_t within;

	for (; r == 0 && path->steps++ < MAX_STEPS; r = dwarf_siblingof(&member, &member)) {
		struct path tried = *path;

		if (!is_there(&member, path->left, &member_type, &within))
			continue;
		memcpy(text, path->text, path->length + 1);
		tried.text = text;
		enter(&tried, &member, &member_type, within, depth);
		path->steps = tried.steps;
		if (!tried.ends_at_pointer || pointers++)
			continue;
		found = tried;
		found.text = path->text;
		memcpy(path->text + path->length, text + path->length,
		       found.length - path->length + 1);
	}
	if (pointers != 1) {
		path->text[path->length] = '\0';
		return;
	}
	found.steps = path->steps;
	*path = found;
}

static void follow_array(struct path *path, Dwarf_Die *type, unsigned depth)
{
	struct array array;

	if (!find_array(type, depth, &array))
		return;
	for (unsigned i = 0; i < array.dimensions; i++) {
		uint64_t bytes = bytes_below(&array, i);

		if (!bytes || (array.counts[i] && path->left / bytes >= array.counts[i]))
			return;
		extend(path, "[%" PRIu64 "]", path->left / bytes);
		path->left %= bytes;
	}
	follow(path, &array.element, depth + 1);
}

static void follow(struct path *path, Dwarf_Die *type, unsigned depth)
{
	if (depth > MEMBERS_MAX_DEPTH || path->is_too_long || !peel(type))
		return;
	switch (dwarf_tag(type)) {
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
		follow_struct(path, type, depth);
		break;
	case DW_TAG_union_type:
		follow_union(path, type, depth);
		break;
	case DW_TAG_array_type:
		follow_array(path, type, depth);
		break;
	default:
		path->ends_at_value = !path->left;
		path->ends_at_pointer = path->ends_at_value && is_pointer(type);
		path->pointer = *type;
	}
}

bool members_path(const Dwarf_Die *type, uint64_t within, char ret[MEMBERS_PATH_CHARS])
{
	struct path path = { .text = ret, .left = within };
	Dwarf_Die begin = *type, measured = *type;
	uint64_t bytes;

	*ret = '\0';
	if (!find_size(&measured, 0, &bytes) || within >= bytes)
		return false;
	follow(&path, &begin, 0);
	if (path.left)
		extend(&path, "+%" PRIu64, path.left);
	return !path.is_too_long;
}

/* ---- types of others ------------------------------------------------------------------------ */

bool members_pointee(const Dwarf_Die *type, uint64_t within, Dwarf_Die *ret)
{
	char text[MEMBERS_PATH_CHARS] = "";
	struct path path = { .text = text, .left = within };
	Dwarf_Die begin = *type, measured = *type;
	uint64_t bytes;

	if (!find_size(&measured, 0, &bytes) || within >= bytes)
		return false;
	follow(&path, &begin, 0);
	return path.ends_at_pointer && find_type(&path.pointer, ret);
}

bool members_size(const Dwarf_Die *type, uint64_t *ret)
{
	Dwarf_Die measured = *type;

	return find_size(&measured, 0, ret);
}

bool members_open_end(const Dwarf_Die *type, uint64_t *ret_begin, uint64_t *ret_each)
{
	Dwarf_Die at = *type, member, last = { 0 }, array_type;
	struct array array;
	uint32_t steps = 0;
	int r;

	if (!peel(&at) || dwarf_tag(&at) == DW_TAG_union_type)
		return false;
	for (r = dwarf_child(&at, &member); r == 0 && steps++ < MAX_STEPS;
	     r = dwarf_siblingof(&member, &member))
		if (dwarf_tag(&member) == DW_TAG_member && !dwarf_hasattr(&member, DW_AT_external))
			last = member;
	*ret_begin = 0;
	if (r < 0 || !last.addr || !find_type(&last, &array_type) || !peel(&array_type) ||
	    dwarf_tag(&array_type) != DW_TAG_array_type ||
	    !find_number(&last, DW_AT_data_member_location, ret_begin) ||
	    !find_array(&array_type, 0, &array) || array.counts[0])
		return false;
	*ret_each = bytes_below(&array, 0);
	return *ret_each > 0;
}

bool members_peel(Dwarf_Die *type)
{
	return peel(type);
}

bool members_is_pointer(Dwarf_Die *peeled)
{
	return is_pointer(peeled);
}

bool members_type_of(Dwarf_Die *die, Dwarf_Die *ret)
{
	return find_type(die, ret);
}

bool members_is_alias(Dwarf_Die *type)
{
	int tag = dwarf_tag(type);

	return tag == DW_TAG_typedef || tag == DW_TAG_const_type || tag == DW_TAG_volatile_type ||
	       tag == DW_TAG_atomic_type;
}
