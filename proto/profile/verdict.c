#include "verdict.h"

#include <string.h>

static const char *const words[] = {
	[DHAT_EXACT] = "exact",
	[DHAT_PARTIAL] = "partial",
	[DHAT_INEXACT] = "inexact",
	[DHAT_NOT_KNOWN] = "not known",
};

const char *dhat_verdict_word(enum dhat_verdict verdict)
{
	return words[verdict];
}

enum dhat_verdict dhat_verdict_of(const Dhat__Verdict *message)
{
	if (message->exact)
		return DHAT_EXACT;
	if (!strcmp(message->word, words[DHAT_NOT_KNOWN]))
		return DHAT_NOT_KNOWN;
	return strcmp(message->word, words[DHAT_PARTIAL]) ? DHAT_INEXACT : DHAT_PARTIAL;
}
