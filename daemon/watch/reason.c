#include "reason.h"

#include "spool.h"

#include <stdio.h>
#include <string.h>

static bool is_news(const char *word)
{
	return strcmp(word, SPOOL_EVERY) != 0 && strcmp(word, SPOOL_STOP) != 0;
}

void keep_reason_add(struct keep_reason *reason, const char *word, const char *text)
{
	size_t used;

	if (reason->word && is_news(word) && !is_news(reason->word))
		*reason = (struct keep_reason){ .is_push = reason->is_push };
	used = strlen(reason->text);
	if (!reason->word)
		reason->word = word;
	snprintf(reason->text + used, sizeof(reason->text) - used, "%s%s", used ? "; " : "", text);
}

bool keep_reason_is_news(const struct keep_reason *reason)
{
	return reason->word && is_news(reason->word);
}
