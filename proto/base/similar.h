#pragma once
/* similar: "did you mean …?", for a word that is none of those there are. Pure.
 *
 *	struct dhat_similar similar = { .word = "snap" };
 *	for each name: dhat_similar_consider(&similar, name);
 *	if (similar.best) …
 */
#include <stddef.h>

struct dhat_similar {
	const char *word;
	const char *best; /* of those considered; NULL: none is like it */
	size_t distance;  /* of best */
};

/* Like it is a name that begins with the word, or that some slips of the fingers (a letter too
 * many, too few, another, or two exchanged) turn into it: one for each three letters of the word.
 */
void dhat_similar_consider(struct dhat_similar *similar, const char *name);
