#include "verdict.h"

#include <string.h>

static const char *const words[] = {
	[DHAT_EXACT] = "exact",
	[DHAT_PARTIAL] = "partial",
	[DHAT_INEXACT] = "inexact",
};

const char *dhat_verdict_word(enum dhat_verdict verdict)
{
	return words[verdict];
}

enum dhat_verdict dhat_verdict_of(const Dhat__Verdict *message)
{
	if (message->exact)
		return DHAT_EXACT;
	return strcmp(message->word, words[DHAT_PARTIAL]) ? DHAT_INEXACT : DHAT_PARTIAL;
}
