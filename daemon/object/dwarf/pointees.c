#include "pointees.h"

#include <dwarf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "qualify.h"

/* ---- names ---------------------------------------------------------------------------------- */

#define MAX_STARS 4

static const char *keyword_of(Dwarf_Die *type)
{
	Dwarf_Die unit;

	if (!dwarf_diecu(type, &unit, NULL, NULL))
		return "";
	switch (dwarf_srclang(&unit)) {
	case DW_LANG_C:
	case DW_LANG_C89:
	case DW_LANG_C99:
	case DW_LANG_C11:
		break;
	default:
		return "";
	}
	switch (dwarf_tag(type)) {
	case DW_TAG_structure_type:
		return "struct ";
	case DW_TAG_union_type:
		return "union ";
	case DW_TAG_enumeration_type:
		return "enum ";
	default:
		return "";
	}
}

/* "struct session", "shop::Session", "session_t" of one without a name of its own. The caller
 * frees; NULL: it has none. */
static char *plain_name(Dwarf_Die *type)
{
	Dwarf_Die at = *type;
	const char *alias = NULL;
	char *name = NULL;

	for (unsigned i = 0; i < MEMBERS_MAX_DEPTH; i++) {
		const char *own = dwarf_diename(&at);

		if (members_is_alias(&at)) {
			alias = own && *own ? own : alias;
			if (!members_type_of(&at, &at))
				return NULL;
			continue;
		}
		if (own && *own) {
			_cleanup_free_ char *whole = qualify(&at, own);

			return asprintf(&name, "%s%s", keyword_of(&at), whole ? whole : own) < 0
				       ? NULL
				       : name;
		}
		return alias ? strdup(alias) : NULL;
	}
	return NULL;
}

/* With its stars: "struct entry **". */
static char *name_of(const Dwarf_Die *type)
{
	_cleanup_free_ char *plain = NULL;
	Dwarf_Die at = *type, peeled;
	unsigned stars = 0;
	char *name = NULL;

	for (;; stars++) {
		peeled = at;
		if (stars > MAX_STARS || !members_peel(&peeled))
			return NULL;
		if (!members_is_pointer(&peeled))
			break;
		if (!members_type_of(&peeled, &at)) { /* void */
			plain = strdup("void");
			stars++;
			break;
		}
	}
	plain = plain ? plain : plain_name(&at);
	if (!plain || asprintf(&name, "%s%s%.*s", plain, stars ? " " : "", (int)stars, "*****") < 0)
		return NULL;
	return name;
}

/* ---- what fits ------------------------------------------------------------------------------ */

/* A pointer, or a number of more than a byte: nobody's base. */
static bool may_be_element(const Dwarf_Die *type, uint64_t bytes)
{
	Dwarf_Die at = *type;

	return members_peel(&at) && bytes > 1 &&
	       (members_is_pointer(&at) || dwarf_tag(&at) == DW_TAG_base_type ||
		dwarf_tag(&at) == DW_TAG_enumeration_type);
}

static bool is_structure(const Dwarf_Die *type)
{
	Dwarf_Die at = *type;

	return members_peel(&at) &&
	       (dwarf_tag(&at) == DW_TAG_structure_type || dwarf_tag(&at) == DW_TAG_class_type ||
		dwarf_tag(&at) == DW_TAG_union_type);
}

static void judge(const Dwarf_Die *type, const struct pointee_query *query, struct pointee *ret)
{
	uint64_t bytes, begin, each;

	*ret = (struct pointee){ .type = *type };
	if (!members_size(type, &bytes) || !bytes || query->least_bytes < bytes ||
	    query->least_bytes > query->most_bytes)
		return;
	if (may_be_element(type, bytes)) {
		ret->is_array = query->most_bytes > bytes;
		if (query->least_bytes % bytes == 0 && query->most_bytes % bytes == 0)
			ret->element_bytes = bytes;
		return;
	}
	if (!is_structure(type))
		return;
	if (query->least_bytes == bytes && query->most_bytes == bytes) {
		ret->element_bytes = bytes;
		return;
	}
	/* a structure that ends with an array of any length says so */
	if (members_open_end(type, &begin, &each) && query->least_bytes >= begin &&
	    (query->least_bytes - begin) % each == 0 && (query->most_bytes - begin) % each == 0)
		ret->element_bytes = query->most_bytes;
}

/* ---- answers -------------------------------------------------------------------------------- */

/* How far into the type of a block, or of its elements; false: its places are not told apart. */
static bool is_within(const struct pointee *pointee, uint64_t at, uint64_t *ret)
{
	if (!pointee->element_bytes || (at == POINTEES_NOWHERE && !pointee->is_array))
		return false;
	*ret = !pointee->is_array ? at : at == POINTEES_NOWHERE ? 0 : at % pointee->element_bytes;
	return true;
}

static void name_member(const struct pointee *pointee, uint64_t at, char ret[MEMBERS_PATH_CHARS])
{
	uint64_t within;

	*ret = '\0';
	if (at == POINTEES_NOWHERE || !is_within(pointee, at, &within))
		return;
	if (pointee->is_array && !within)
		snprintf(ret, MEMBERS_PATH_CHARS, "[%" PRIu64 "]", at / pointee->element_bytes);
	else if (pointee->is_array || !members_path(&pointee->type, within, ret) || *ret == '+')
		*ret = '\0';
}

static char *name_block(const struct pointee *pointee, const struct pointee_query *query)
{
	_cleanup_free_ char *name = pointee->element_bytes ? name_of(&pointee->type) : NULL;
	char *array = NULL;
	int length;

	if (!name || strlen(name) >= POINTEES_NAME_CHARS)
		return NULL;
	if (!pointee->is_array)
		return take_ptr(name);
	if (query->least_bytes == query->most_bytes)
		length = asprintf(&array, "%s[%" PRIu64 "]", name,
				  query->most_bytes / pointee->element_bytes);
	else
		length = asprintf(&array, "%s[]", name);
	return length < 0 ? NULL : array;
}

static int add(struct names *names, uint32_t number, const char *function, const char *file)
{
	const struct name_location location = { .function = names_intern(names, function),
						.file = names_intern(names, file) };
	struct name_frame *frame = &names->frames[number];

	if (!frame->location_count)
		frame->first_location = names->location_count;
	frame->location_count++;
	return names_add_location(names, &location);
}

int pointees_answer(struct names *names, uint32_t number, const struct pointee_query *queries,
		    struct pointee *pointees, const struct pointee_root *root)
{
	const struct pointee_query *query = &queries[number];
	const struct pointee *parent = query->parent < number ? &pointees[query->parent] : NULL;
	const Dwarf_Die *holder = parent ? &parent->type : root->type;
	uint64_t within = root->within;
	char member[MEMBERS_PATH_CHARS] = "", self[MEMBERS_PATH_CHARS] = "";
	_cleanup_free_ char *type = NULL;
	Dwarf_Die target;
	int r;

	pointees[number] = (struct pointee){ 0 };
	if (parent)
		name_member(parent, query->at, member);
	if (holder && (!parent || is_within(parent, query->at, &within)) &&
	    members_pointee(holder, within, &target))
		judge(&target, query, &pointees[number]);
	type = name_block(&pointees[number], query);
	if (!type) /* what has no name is nothing to go on from */
		pointees[number] = (struct pointee){ 0 };
	name_member(&pointees[number], query->self_at, self);
	r = add(names, number, type ? type : "", parent ? member : root->place);
	return r || query->self_at == POINTEES_NOWHERE ? r : add(names, number, "", self);
}
