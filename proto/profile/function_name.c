#include "function_name.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"

#define MAX_NESTING 256

static bool begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* ---- what says nothing --------------------------------------------------------------------- */

/* Behind the '>' that closes the '<' at `text`; NULL: none does. `->`, `<<` and the like are not
 * told apart: where they stand in a template's arguments, counting goes wrong and nothing is cut.
 */
static const char *skip_angles(const char *text)
{
	int depth = 0;

	for (; *text; text++) {
		if (*text == '<')
			depth++;
		if (*text == '>' && --depth == 0)
			return text + 1;
	}
	return NULL;
}

/* A default argument at the end of a template's list: how much of the text it takes; 0: none.
 * What follows is a '>' then, perhaps behind a blank that kept two of them apart. */
static size_t default_argument(const char *text)
{
	static const char *const defaults[] = {
		", std::allocator<", ", std::char_traits<", ", std::less<",
		", std::hash<",	     ", std::equal_to<",    ", std::default_delete<",
	};
	const char *end;

	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++) {
		if (!begins(text, defaults[i]))
			continue;
		end = skip_angles(strchr(text, '<'));
		if (end && end[0] == ' ' && end[1] == '>')
			end++;
		return end && (*end == '>' || *end == ',') ? (size_t)(end - text) : 0;
	}
	return 0;
}

static const struct {
	const char *from, *to;
} names[] = {
	{ "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >",
	  "std::string" },
	{ "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char>>",
	  "std::string" },
	{ "std::basic_string_view<char, std::char_traits<char> >", "std::string_view" },
	{ "std::__cxx11::", "std::" },
	{ "std::__1::", "std::" },
};

/* What is replaced at the beginning of the text: how much of it, and by what. */
static size_t replaced(const char *text, const char **ret_by)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (begins(text, names[i].from)) {
			*ret_by = names[i].to;
			return strlen(names[i].from);
		}
	}
	*ret_by = "";
	return default_argument(text);
}

static char *drop_defaults(const char *function)
{
	char *shorter = strdup(function), *out = shorter; /* it never grows */
	const char *by;
	size_t length;

	while (shorter && *function) {
		length = replaced(function, &by);
		if (length) {
			out = stpcpy(out, by);
			function += length;
		} else {
			*out++ = *function++;
		}
	}
	if (shorter)
		*out = 0;
	return shorter;
}

/* ---- brackets ------------------------------------------------------------------------------ */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80);
}

/* "operator<<", "operator()", "operator new[]" at `at`: how long; 0: no operator. Of a conversion
 * ("operator bool") it is the word alone. */
static size_t operator_length(const char *start, const char *at)
{
	static const char *const symbols[] = {
		"()", "[]", "<=>", "<<=", ">>=",    "->*",	 "<<",	 ">>",	    "<=",
		">=", "->", "<",   ">",	  " new[]", " delete[]", " new", " delete",
	};
	const size_t length = strlen("operator");

	if (!begins(at, "operator") || (at > start && is_word(at[-1])) || is_word(at[length]))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++)
		if (begins(at + length, symbols[i]))
			return length + strlen(symbols[i]);
	return length + strspn(at + length, "=!+-*/%^&|~,");
}

static char closing(char open)
{
	switch (open) {
	case '<':
		return '>';
	case '(':
		return ')';
	case '[':
		return ']';
	default:
		return open == '{' ? '}' : 0;
	}
}

/* Does a '<' at `at` open a list, and is it no comparison of expressions (`(a)<(b)`)? A '>' in
 * them the demanglers put in parentheses. */
static bool opens(const char *start, const char *at)
{
	return closing(*at) && (*at != '<' || at == start || at[-1] != ')');
}

/* Behind the bracket that closes the one at `at`; NULL: none does. */
static const char *skip_group(const char *start, const char *at, const char *end)
{
	char wanted[MAX_NESTING];
	size_t depth = 0, length;

	for (; at < end; at++) {
		length = operator_length(start, at);
		if (length) {
			at += length - 1;
			continue;
		}
		if (!depth || opens(start, at)) {
			if (depth == MAX_NESTING)
				return NULL;
			wanted[depth++] = closing(*at);
		} else if (*at == wanted[depth - 1]) {
			if (*at == '>' && at[-1] == '-')
				continue;
			if (!--depth)
				return at + 1;
		} else if (strchr(")]}", *at)) {
			return NULL;
		}
	}
	return NULL;
}

/* A list of a template's arguments or of parameters stands behind a name; elsewhere brackets are a
 * name of their own: "(anonymous namespace)", "<T as Trait>", "<impl T for U>", "{lambda(int)#1}".
 */
static bool is_list(const char *start, const char *at, bool is_after_operator)
{
	if ((*at != '<' && *at != '(') || at == start || begins(at, "<impl "))
		return false;
	if (is_after_operator)
		return true;
	return is_word(at[-1]) || at[-1] == '>' || at[-1] == ')' || at[-1] == '}' ||
	       (*at == '<' && at[-1] == ':');
}

/* ---- a walk over a name's outermost level -------------------------------------------------- */

enum piece {
	PIECE_END,
	PIECE_TEXT,
	PIECE_SCOPE,
	PIECE_OPERATOR,
	PIECE_LIST,
	PIECE_GROUP,
	PIECE_BAD
};

struct walk {
	const char *start, *end;
	const char *at, *next; /* the piece: from at to next */
	bool is_after_operator;
};

static struct walk walk_over(const char *start, const char *end)
{
	return (struct walk){ .start = start, .end = end, .at = start, .next = start };
}

/* PIECE_TEXT: one byte; PIECE_SCOPE: "::". */
static enum piece walk_next(struct walk *walk)
{
	bool was_operator = walk->is_after_operator;
	const char *at = walk->at = walk->next;
	size_t length;

	if (at >= walk->end)
		return PIECE_END;
	walk->is_after_operator = false;
	length = operator_length(walk->start, at);
	if (length) {
		walk->next = at + length;
		walk->is_after_operator = true;
		return PIECE_OPERATOR;
	}
	if (opens(walk->start, at)) {
		walk->next = skip_group(walk->start, at, walk->end);
		if (!walk->next)
			return PIECE_BAD;
		return is_list(walk->start, at, was_operator) ? PIECE_LIST : PIECE_GROUP;
	}
	if (at[0] == ':' && at + 1 < walk->end && at[1] == ':') {
		walk->next = at + 2;
		return PIECE_SCOPE;
	}
	/* "operator<< <char>": the blank only keeps two of them apart */
	walk->is_after_operator = was_operator && *at == ' ';
	walk->next = at + 1;
	return PIECE_TEXT;
}

/* Where the name begins: behind the last blank before its first list of parameters. */
static const char *name_begin(const char *function, const char *end)
{
	struct walk walk = walk_over(function, end);
	const char *begin = function;
	enum piece piece;

	while ((piece = walk_next(&walk)) != PIECE_END) {
		if (piece == PIECE_BAD)
			return function;
		if (piece == PIECE_TEXT && *walk.at == ' ')
			begin = walk.next;
		/* what a conversion yields has blanks, too, and all of it is the name */
		if (piece == PIECE_OPERATOR || (piece == PIECE_LIST && *walk.at == '('))
			return begin < end ? begin : function;
	}
	return function; /* no parameters: C, Rust, or DWARF's name alone */
}

const char *dhat_name_begin(const char *function)
{
	return name_begin(function, function + strlen(function));
}

static size_t width_of(const char *text, const char *end)
{
	size_t width = 0, length;

	for (; text < end; text += length ? length : 1) {
		length = dhat_text_character(text);
		width++;
	}
	return width;
}

struct limits { /* columns of a list that stays */
	size_t arguments, parameters;
};

static void print_list(FILE *out, const struct walk *walk, struct limits limits)
{
	const char *inner = walk->at + 1, *end = walk->next - 1;
	size_t limit = *walk->at == '<' ? limits.arguments : limits.parameters;

	if (width_of(inner, end) <= limit)
		fprintf(out, "%.*s", (int)(walk->next - walk->at), walk->at);
	else
		fprintf(out, "%c…%c", *walk->at, *end);
}

/* false: its brackets do not match. */
static bool print_name(FILE *out, const char *start, const char *end, struct limits limits)
{
	struct walk walk = walk_over(start, end);
	enum piece piece;

	while ((piece = walk_next(&walk)) != PIECE_END) {
		if (piece == PIECE_BAD)
			return false;
		if (piece == PIECE_LIST) {
			print_list(out, &walk, limits);
		} else if (piece == PIECE_GROUP) {
			fputc(*walk.at, out);
			if (!print_name(out, walk.at + 1, walk.next - 1, limits))
				return false;
			fputc(walk.next[-1], out);
		} else {
			fprintf(out, "%.*s", (int)(walk.next - walk.at), walk.at);
		}
	}
	return true;
}

/* NULL: no memory; ret_is_bad: the brackets do not match. */
static char *collapse(const char *start, const char *end, struct limits limits, bool *ret_is_bad)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	*ret_is_bad = !print_name(out, start, end, limits);
	return fclose(out) ? NULL : take_ptr(text);
}

char *dhat_short_name(const char *function)
{
	static const struct limits limits = { DHAT_NAME_LIST_COLUMNS, DHAT_NAME_LIST_COLUMNS };
	_cleanup_free_ char *plain = drop_defaults(function), *shorter = NULL;
	bool is_bad = false;

	if (!plain)
		return NULL;
	shorter = collapse(dhat_name_begin(plain), plain + strlen(plain), limits, &is_bad);
	return is_bad ? take_ptr(plain) : take_ptr(shorter);
}

/* ---- narrow columns ------------------------------------------------------------------------ */

#define MAX_SCOPES 64
#define DROPPED_COLUMNS 3 /* "…::" */

/* Where the parts of a name begin that "::" keeps apart: the first is all of it. */
static size_t find_parts(const char *name, const char **parts)
{
	struct walk walk = walk_over(name, name + strlen(name));
	enum piece piece;
	size_t count = 1;

	parts[0] = name;
	while ((piece = walk_next(&walk)) != PIECE_END && piece != PIECE_BAD)
		if (piece == PIECE_SCOPE && count < MAX_SCOPES && *walk.next)
			parts[count++] = walk.next;
	return count;
}

/* N2: the part that may not go, a closure's with what it is in. */
static size_t own_part(const char *const *parts, size_t count)
{
	size_t own = count - 1;

	while (own && (parts[own][0] == '{' ||
		       (begins(parts[own], "operator()") && parts[own - 1][0] == '{')))
		own--;
	return own;
}

/* "Cache::Shard::insert" as "…::Shard::insert"; what it would make no shorter stays ("::a"). */
static char *drop_scopes(const char *name, size_t columns)
{
	const char *parts[MAX_SCOPES];
	size_t count = find_parts(name, parts), own = own_part(parts, count), first = 0;
	size_t width = dhat_text_width(name);
	char *shorter;

	while (first < own &&
	       dhat_text_width(parts[first]) + (first ? DROPPED_COLUMNS : 0) > columns)
		first++;
	if (!first || dhat_text_width(parts[first]) + DROPPED_COLUMNS >= width)
		return strdup(name);
	return asprintf(&shorter, "…::%s", parts[first]) < 0 ? NULL : shorter;
}

char *dhat_fitting_name(const char *function, size_t columns)
{
	static const struct limits steps[] = { { DHAT_NAME_LIST_COLUMNS, 1 }, { 1, 1 } };
	const char *begin = dhat_name_begin(function);
	_cleanup_free_ char *name = strdup(function);
	bool is_bad = false;

	for (size_t i = 0; name && i < ARRAY_SIZE(steps) && dhat_text_width(name) > columns; i++) {
		free(name);
		name = collapse(begin, begin + strlen(begin), steps[i], &is_bad);
		if (is_bad)
			return strdup(function);
	}
	if (!name || dhat_text_width(name) <= columns)
		return take_ptr(name);
	return drop_scopes(name, columns);
}
