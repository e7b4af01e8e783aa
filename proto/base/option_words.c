#include "option_words.h"

#include <string.h>

static bool takes_value(const struct argp_option *option)
{
	return option->arg && !(option->flags & OPTION_ARG_OPTIONAL);
}

/* The option of this name, or the first whose name begins so. An alias has no argument of its own:
 * none of ours that is one takes a value. */
static const struct argp_option *find_long(const struct argp *argp, const char *name, size_t length)
{
	const struct argp_option *found = NULL;

	for (const struct argp_option *option = argp->options;
	     option && (option->name || option->key); option++) {
		if (!option->name || strncmp(option->name, name, length) != 0)
			continue;
		if (!option->name[length])
			return option;
		found = found ? found : option;
	}
	for (const struct argp_child *child = argp->children; child && child->argp; child++) {
		const struct argp_option *other = find_long(child->argp, name, length);

		if (other && !other->name[length])
			return other;
		found = found ? found : other;
	}
	return found;
}

static const struct argp_option *find_short(const struct argp *argp, char letter)
{
	const struct argp_option *found = NULL;

	for (const struct argp_option *option = argp->options;
	     option && (option->name || option->key); option++)
		if (option->key == letter)
			return option;
	for (const struct argp_child *child = argp->children; child && child->argp && !found;
	     child++)
		found = find_short(child->argp, letter);
	return found;
}

enum option_word option_word(const struct argp *argp, const char *word)
{
	const struct argp_option *option;
	size_t length;

	if (word[0] != '-' || !word[1])
		return OPTION_WORD_UNKNOWN;
	if (word[1] == '-') {
		length = strcspn(word + 2, "=");
		option = length ? find_long(argp, word + 2, length) : NULL;
		if (!option)
			return OPTION_WORD_UNKNOWN;
		return takes_value(option) && !word[2 + length] ? OPTION_WORD_VALUED
								: OPTION_WORD_WHOLE;
	}
	for (const char *letter = word + 1; *letter; letter++) {
		option = find_short(argp, *letter);
		if (!option)
			return OPTION_WORD_UNKNOWN;
		if (option->arg) /* what follows in the word is its value */
			return takes_value(option) && !letter[1] ? OPTION_WORD_VALUED
								 : OPTION_WORD_WHOLE;
	}
	return OPTION_WORD_WHOLE;
}
