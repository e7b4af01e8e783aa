#include "qualify.h"

#include <dwarf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

#define MAX_HOPS 8    /* inlined → abstract → declaration, and some */
#define MAX_NESTING 4 /* functions in types in functions … */
#define MAX_PART_BYTES 1024

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

/* Types without a name are mostly lambdas; those of one function are told apart by their lines. */
static void name_type(Dwarf_Die *type, const char *member, char *ret, size_t size)
{
	const char *what = strncmp(member, "operator()", 10) ? "unnamed type" : "lambda";
	Dwarf_Attribute attr;
	const char *name = dwarf_formstring(dwarf_attr_integrate(type, DW_AT_name, &attr));
	int line;

	if (name)
		snprintf(ret, size, "%s", name);
	else if (!dwarf_decl_line(type, &line))
		snprintf(ret, size, "{%s at line %d}", what, line);
	else
		snprintf(ret, size, "{%s}", what);
}

/* Empty: a scope without part in the name. member: the function in it. */
static void part_of(Dwarf_Die *scope, const char *member, char *ret, size_t size)
{
	Dwarf_Attribute attr;
	const char *name;

	*ret = '\0';
	switch (dwarf_tag(scope)) {
	case DW_TAG_namespace:
		name = dwarf_formstring(dwarf_attr_integrate(scope, DW_AT_name, &attr));
		snprintf(ret, size, "%s", name ? name : "(anonymous namespace)");
		break;
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
		name_type(scope, member, ret, size);
		break;
	default:
		break;
	}
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

/* A function around a local type or a lambda; its own surroundings are at its declaration. */
static char *name_outer_function(Dwarf_Die *function, int nesting)
{
	Dwarf_Attribute attr;
	const char *name = dwarf_formstring(dwarf_attr_integrate(function, DW_AT_name, &attr));
	char *whole = name ? qualify_within(function, name, nesting + 1) : NULL;

	return whole || !name ? whole : strdup(name);
}

/* scopes[0] is the function itself, then what it stands in, outwards. */
static char *join(Dwarf_Die *scopes, int count, const char *plain, int nesting)
{
	_cleanup_free_ char *outer = NULL, *text = NULL;
	char part[MAX_PART_BYTES];
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
	for (int i = end - 1; i > 0; i--) {
		part_of(&scopes[i], plain, part, sizeof(part));
		if (*part)
			fprintf(out, "%s::", part);
	}
	fputs(plain, out);
	return fclose(out) ? NULL : take_ptr(text);
}

static char *qualify_within(Dwarf_Die *function, const char *plain, int nesting)
{
	Dwarf_Die origin = qualify_origin(function);
	_cleanup_free_ Dwarf_Die *scopes = NULL;
	int count;

	if (nesting > MAX_NESTING || !has_scopes(&origin))
		return NULL;
	count = dwarf_getscopes_die(&origin, &scopes);
	return count > 0 ? join(scopes, count, plain, nesting) : NULL;
}

char *qualify(Dwarf_Die *function, const char *plain)
{
	return qualify_within(function, plain, 0);
}
