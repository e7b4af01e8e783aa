#include "shorten.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static bool begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* Behind the '>' that closes the '<' at `text`; NULL: none does. `->`, `<<` and the like are not
 * told apart: where they stand in a template's arguments, counting goes wrong and nothing is cut.
 */
static const char *skip_brackets(const char *text)
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

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
		if (!begins(text, defaults[i]))
			continue;
		end = skip_brackets(strchr(text, '<'));
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
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (begins(text, names[i].from)) {
			*ret_by = names[i].to;
			return strlen(names[i].from);
		}
	}
	*ret_by = "";
	return default_argument(text);
}

char *shorten_function(const char *function)
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

/* The last parenthesis that opens at no depth of others; NULL: none. */
static const char *last_list(const char *function)
{
	const char *last = NULL;
	int depth = 0;

	for (const char *at = function; *at; at++) {
		if (*at == '(' && depth++ == 0)
			last = at;
		if (*at == ')' && --depth < 0)
			return NULL;
	}
	return depth == 0 ? last : NULL;
}

char *shorten_arguments(const char *function)
{
	const char *list = last_list(function), *end = list ? strrchr(function, ')') : NULL;
	char *shorter;

	/* "()" and "{lambda(int)#1}" are no longer than what would replace them, or no list at the
	 * end */
	if (!list || end - list < 4 || strchr(end, '}'))
		return strdup(function);
	if (asprintf(&shorter, "%.*s(…%s", (int)(list - function), function, end) < 0)
		return NULL;
	return shorter;
}
