/* option_keys: options as a file has them, a line each. */
#include "options_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/base/similar.h"
#include "proto/base/text.h"
#include "proto/base/texts.h"

static const struct argp_child line_children[] = {
	{ .argp = &dhatd_match_argp }, { .argp = &dhat_attach_argp }, { .argp = &watch_argp }, { 0 }
};

/* Complaints are the caller's to tell. */
static error_t parse_line(int key, char *arg, struct argp_state *state)
{
	struct dhatd_options *options = state->input;

	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	dhatd_options_give_inputs(state, options);
	state->err_stream = options->complaints;
	return 0;
}

static const struct argp line_argp = { .parser = parse_line, .children = line_children };

static const struct argp_option *find_key(const char *name, struct dhat_similar *similar)
{
	for (const struct argp_child *child = line_children; child->argp; child++)
		for (const struct argp_option *option = child->argp->options; option->name;
		     option++) {
			dhat_similar_consider(similar, option->name);
			if (!strcmp(option->name, name))
				return option;
		}
	return NULL;
}

/* The first line of what argp has to say, without the name that it puts before it. */
static int pass_complaint(const char *place, const char *text, struct dhat_error *err)
{
	size_t skipped = strlen(dhat_text_base_name(place)) + strlen(": ");

	if (strlen(text) < skipped)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE, "%s: cannot be used", place);
	return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE, "%s: %.*s", place,
			      (int)strcspn(text + skipped, "\n"), text + skipped);
}

static int parse_word(const char *place, const char *word, struct dhatd_options *options,
		      struct dhat_error *err)
{
	char *argv[] = { without_qualifiers(place), without_qualifiers(word), NULL };
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int error;

	options->complaints = open_memstream(&text, &size);
	if (!options->complaints)
		return dhat_error_errno(err, errno, "%s", place);
	error = argp_parse(&line_argp, 2, argv, ARGP_NO_EXIT | ARGP_NO_HELP, NULL, options);
	fclose(options->complaints);
	options->complaints = NULL;
	return error ? pass_complaint(place, text, err) : 0;
}

int dhatd_options_parse_key(const char *place, const char *key, const char *value,
			    struct dhatd_options *options, struct dhat_error *err)
{
	struct dhat_similar similar = { .word = key };
	const struct argp_option *option = find_key(key, &similar);
	_cleanup_free_ char *word = NULL;

	if (!option && similar.best)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s: there is no %s; did you mean %s?", place, key,
				      similar.best);
	if (!option)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s: there is no %s; options of `dhatd attach' are known, "
				      "without --",
				      place, key);
	if (!option->arg && strcmp(value, "yes") && strcmp(value, "no"))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE, "%s: %s = yes or no is wanted",
				      place, key);
	if (!option->arg && !strcmp(value, "no"))
		return 0;
	if (!strcmp(key, "record"))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s: record is for all: --record of the command line", place);
	if (asprintf(&word, "--%s%s%s", key, option->arg ? "=" : "", option->arg ? value : "") <
	    0) {
		word = NULL;
		return dhat_error_errno(err, ENOMEM, "%s", place);
	}
	if (texts_add(&options->words, word))
		return dhat_error_errno(err, ENOMEM, "%s", place);
	for (size_t i = 0;; i++) /* the last: what is kept points into it */
		if (!options->words[i + 1])
			return parse_word(place, options->words[i], options, err);
}
