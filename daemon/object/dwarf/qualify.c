#include "qualify.h"

#include <dwarf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

#define MAX_HOPS 8	    /* inlined → abstract → declaration, and some */
#define MAX_NESTING 4	    /* functions in types in functions … */
#define MAX_PART_BYTES 4096 /* of a type with its template's arguments, which may be long */

Dwarf_Die qualify_origin(const Dwarf_Die *function)
{
	Dwarf_Die die = *function;

	for (int i = 0; i < MAX_HOPS; i++) {
		Dwarf_Attribute attr;
		Dwarf_Die next;

		if (!dwarf_attr(&die, DW_AT_abstract_origin, &attr) &&
		    !dwarf_attr(&die, DW_AT_specification, &attr))
			break;
		if (!dwarf_formref_die(&attr, &next))
			break;
		die = next;
	}
	return die;
}

/* A name with its template's arguments; where these are too many, "Cache<…>": what is left out is
 * seen, and nothing is cut within. */
static void put_name(const char *name, FILE *out)
{
	size_t length = strnlen(name, MAX_PART_BYTES + 1), head = strcspn(name, "<");

	if (length <= MAX_PART_BYTES)
		fputs(name, out);
	else if (head <= MAX_PART_BYTES && name[strlen(name) - 1] == '>')
		fprintf(out, "%.*s<…>", (int)head, name);
	else /* of no compiler's */
		fputs("…", out);
}

/* Types without a name are mostly lambdas; those of one function are told apart by their lines. */
static void put_type(Dwarf_Die *type, const char *member, FILE *out)
{
	const char *what = strncmp(member, "operator()", 10) ? "unnamed type" : "lambda";
	Dwarf_Attribute attr;
	const char *name = dwarf_formstring(dwarf_attr_integrate(type, DW_AT_name, &attr));
	int line;

	if (name)
		put_name(name, out);
	else if (!dwarf_decl_line(type, &line))
		fprintf(out, "{%s at line %d}", what, line);
	else
		fprintf(out, "{%s}", what);
}

/* Nothing for a scope without part in the name. member: the function in it. */
static void put_scope(Dwarf_Die *scope, const char *member, FILE *out)
{
	Dwarf_Attribute attr;
	const char *name;

	switch (dwarf_tag(scope)) {
	case DW_TAG_namespace:
		name = dwarf_formstring(dwarf_attr_integrate(scope, DW_AT_name, &attr));
		put_name(name ? name : "(anonymous namespace)", out);
		break;
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
		put_type(scope, member, out);
		break;
	default:
		return;
	}
	fputs("::", out);
}

static bool has_scopes(Dwarf_Die *function)
{
	Dwarf_Die unit;

	if (!dwarf_diecu(function, &unit, NULL, NULL))
		return false;
	switch (dwarf_srclang(&unit)) {
	case DW_LANG_C:
	case DW_LANG_C89:
	case DW_LANG_C99:
	case DW_LANG_C11:
	case DW_LANG_Mips_Assembler:
		return false;
	default:
		return true;
	}
}

static char *qualify_within(Dwarf_Die *function, const char *plain, int nesting);

/* A function around a local type or a lambda; its own surroundings are at its declaration. The
 * caller frees; NULL: it has no name, or no memory. */
static char *name_outer_function(Dwarf_Die *function, int nesting)
{
	Dwarf_Attribute attr;
	const char *name = dwarf_formstring(dwarf_attr_integrate(function, DW_AT_name, &attr));
	char *whole = NULL;

	if (!name)
		return NULL;
	if (nesting < MAX_NESTING)
		whole = qualify_within(function, name, nesting + 1);
	else if (asprintf(&whole, "…::%s", name) < 0)
		return NULL;
	return whole ? whole : strdup(name);
}

/* scopes[0] is the function itself, then what it stands in, outwards. */
static char *join(Dwarf_Die *scopes, int count, const char *plain, int nesting)
{
	_cleanup_free_ char *outer = NULL, *text = NULL;
	int end = 1;
	size_t size;
	FILE *out;

	while (end < count && dwarf_tag(&scopes[end]) != DW_TAG_subprogram)
		end++;
	if (end < count)
		outer = name_outer_function(&scopes[end], nesting);
	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	if (outer)
		fprintf(out, "%s::", outer);
	for (int i = end - 1; i > 0; i--)
		put_scope(&scopes[i], plain, out);
	fputs(plain, out);
	return fclose(out) ? NULL : take_ptr(text);
}

static char *qualify_within(Dwarf_Die *function, const char *plain, int nesting)
{
	Dwarf_Die origin = qualify_origin(function);
	_cleanup_free_ Dwarf_Die *scopes = NULL;
	int count;

	if (!has_scopes(&origin))
		return NULL;
	count = dwarf_getscopes_die(&origin, &scopes);
	return count > 0 ? join(scopes, count, plain, nesting) : NULL;
}

char *qualify(Dwarf_Die *function, const char *plain)
{
	return qualify_within(function, plain, 0);
}
