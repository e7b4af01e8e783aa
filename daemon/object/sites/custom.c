#include "custom.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"

/* ---- one text ------------------------------------------------------------------------------ */

#define NO_ARG 0xff

struct arguments { /* psABI numbers, from 0; NO_ARG: not given */
	uint8_t ptr, count, size;
};

static int bad(const char *text, struct dhat_error *err, const char *why)
{
	return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
			      "cannot read the allocator '%s': %s; it has to look like "
			      "'BINARY:FUNCTION(size=arg1)' or 'BINARY+0xADDRESS(size=arg1)'",
			      text, why);
}

/* "size=arg2" up to `end`. */
static int parse_assignment(const char *at, const char *end, struct arguments *arguments)
{
	struct {
		const char *name;
		uint8_t *value;
	} known[] = { { "ptr=arg", &arguments->ptr },
		      { "count=arg", &arguments->count },
		      { "size=arg", &arguments->size } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		size_t length = strlen(known[i].name);

		if ((size_t)(end - at) != length + 1 || strncmp(at, known[i].name, length))
			continue;
		/* six are passed in registers: psABI 3.2.3 */
		if (at[length] < '1' || at[length] > '6' || *known[i].value != NO_ARG)
			return -EINVAL;
		*known[i].value = at[length] - '1';
		return 0;
	}
	return -EINVAL;
}

/* "(size=arg1,count=arg2)", to the end of the text. */
static int parse_arguments(const char *at, struct arguments *ret)
{
	const char *end;

	*ret = (struct arguments){ NO_ARG, NO_ARG, NO_ARG };
	if (*at++ != '(')
		return -EINVAL;
	for (;; at = end + 1) {
		end = at + strcspn(at, ",)");
		if (*end == '\0' || parse_assignment(at, end, ret))
			return -EINVAL;
		if (*end == ')')
			return end[1] == '\0' ? 0 : -EINVAL;
	}
}

static int choose_role(const char *kind, const struct arguments *a, struct allocator_function *ret)
{
	bool has_ptr = a->ptr != NO_ARG, has_count = a->count != NO_ARG,
	     has_size = a->size != NO_ARG;

	if (!strcmp(kind, "free") && has_ptr && !has_count && !has_size) {
		*ret = (struct allocator_function){ .role = DHAT_ROLE_FREE, .arg = { a->ptr } };
		return 0;
	}
	if (!has_size || has_ptr != !strcmp(kind, "realloc") || !strcmp(kind, "free"))
		return -EINVAL;
	if (has_ptr && has_count)
		*ret = (struct allocator_function){ .role = DHAT_ROLE_REALLOCARRAY,
						    .arg = { a->ptr, a->count, a->size } };
	else if (has_ptr)
		*ret = (struct allocator_function){ .role = DHAT_ROLE_REALLOC,
						    .arg = { a->ptr, a->size } };
	else if (has_count)
		*ret = (struct allocator_function){ .role = DHAT_ROLE_CALLOC,
						    .arg = { a->count, a->size } };
	else
		*ret = (struct allocator_function){ .role = DHAT_ROLE_MALLOC, .arg = { a->size } };
	/* A custom allocator may be C++ and throw; a return probe would then abort the target. */
	ret->may_throw = true;
	return 0;
}

/* BINARY:FUNCTION or BINARY+0xADDRESS, both with what they hold. A path may have ':' and '+' in
 * it: the last ones count. C++ names have ':' too, in their mangled form they do not. */
static int parse_place(const char *at, size_t length, struct custom *custom)
{
	_cleanup_free_ char *place = strndup(at, length);
	char *colon, *plus;

	if (!place)
		return -ENOMEM;
	colon = strrchr(place, ':');
	plus = strrchr(place, '+');
	if (plus && (!colon || plus > colon)) {
		size_t digits = strspn(plus + 1, "0123456789abcdefABCDEFx");

		if (strncmp(plus, "+0x", 3) || digits != strlen(plus + 1) || digits < 3 ||
		    strspn(plus + 3, "0123456789abcdefABCDEF") != digits - 2 || plus == place)
			return -EINVAL;
		custom->symbol = strdup(plus);
		*plus = '\0';
	} else {
		if (!colon || colon == place || colon[1] == '\0')
			return -EINVAL;
		custom->symbol = strdup(colon + 1);
		*colon = '\0';
	}
	custom->binary = strdup(place);
	return custom->symbol && custom->binary ? 0 : -ENOMEM;
}

static int custom_init(const char *text, struct custom *ret, struct dhat_error *err)
{
	size_t kind_length = strcspn(text, ":");
	const char *spec = text + kind_length + (text[kind_length] == ':');
	_cleanup_free_ char *kind = strndup(text, kind_length);
	struct arguments arguments;
	int r;

	ret->text = strdup(text);
	if (!kind || !ret->text)
		return -ENOMEM;
	if (strcmp(kind, "alloc") && strcmp(kind, "free") && strcmp(kind, "realloc"))
		return bad(text, err, "it is neither alloc, free nor realloc");
	r = parse_place(spec, strcspn(spec, "("), ret);
	if (r == -ENOMEM)
		return r;
	if (r)
		return bad(text, err, "a binary and a function or an address are missing");
	if (parse_arguments(spec + strcspn(spec, "("), &arguments))
		return bad(text, err, "its arguments are ptr=, count= and size= of arg1 to arg6");
	if (choose_role(kind, &arguments, &ret->function))
		return bad(
			text, err,
			"alloc needs size= (and may have count=), free needs ptr=, realloc both");
	ret->function.name = ret->symbol;
	return 0;
}

static void custom_deinit(struct custom *custom)
{
	free(custom->text);
	free(custom->binary);
	free(custom->symbol);
}

/* ---- all of them --------------------------------------------------------------------------- */

DEFINE_CLEANUP_PTR(struct customs *, customs_free)

int customs_new(char *const *texts, struct customs **ret, struct dhat_error *err)
{
	_cleanup_(customs_free_ptr) struct customs *customs = calloc(1, sizeof(*customs));
	size_t count = 0;
	int r;

	if (!customs)
		return -ENOMEM;
	while (texts && texts[count])
		count++;
	customs->list = calloc(count + 1, sizeof(*customs->list));
	if (!customs->list)
		return -ENOMEM;
	for (; customs->count < count; customs->count++) {
		r = custom_init(texts[customs->count], &customs->list[customs->count], err);
		if (r) {
			custom_deinit(&customs->list[customs->count]);
			return r;
		}
	}
	*ret = take_ptr(customs);
	return 0;
}

void customs_free(struct customs *customs)
{
	if (!customs)
		return;
	for (size_t i = 0; i < customs->count; i++)
		custom_deinit(&customs->list[i]);
	free(customs->list);
	free(customs);
}

bool custom_is_in(const struct custom *custom, const char *path)
{
	if (strchr(custom->binary, '/'))
		return !strcmp(custom->binary, path);
	return !strcmp(custom->binary, dhat_text_base_name(path));
}
