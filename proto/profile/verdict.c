#include "verdict.h"

#include <string.h>

#include "proto/base/cleanup.h"

static const char *const words[] = {
	[DHAT_EXACT] = "exact",	    [DHAT_SAMPLED] = "sampled",	    [DHAT_PARTIAL] = "partial",
	[DHAT_INEXACT] = "inexact", [DHAT_NOT_KNOWN] = "not known",
};

const char *dhat_verdict_word(enum dhat_verdict verdict)
{
	return words[verdict];
}

enum dhat_verdict dhat_verdict_of(const Dhat__Verdict *message)
{
	if (message->exact)
		return DHAT_EXACT;
	for (size_t i = DHAT_SAMPLED; i < ARRAY_SIZE(words); i++)
		if (!strcmp(message->word, words[i]))
			return i;
	return DHAT_INEXACT;
}
