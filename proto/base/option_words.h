#pragma once
/* option_words: words of a command line, before it is parsed. Pure. */
#include <argp.h>
#include <stdbool.h>

enum option_word {
	OPTION_WORD_UNKNOWN, /* no option of these */
	OPTION_WORD_WHOLE,   /* the next word is one of its own */
	OPTION_WORD_VALUED,  /* the next word is its value */
};

/* What a word that begins with '-' is by these tables, children included: "--name", also cut short
 * as getopt_long(3) allows it, "--name=x", "-p", "-jp", "-p12". */
enum option_word option_word(const struct argp *argp, const char *word);
