#include "findings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/cleanup.h"
#include "proto/base/texts.h"

void findings_init(struct findings *findings)
{
	*findings = (struct findings){ 0 };
	pthread_mutex_init(&findings->lock, NULL);
}

void findings_forget(struct findings *findings)
{
	findings_lock(findings);
	partials_deinit(&findings->partials);
	findings_unlock(findings);
}

void findings_deinit(struct findings *findings)
{
	findings_forget(findings);
	texts_free(findings->notes);
	pthread_mutex_destroy(&findings->lock);
}

void findings_lock(struct findings *findings)
{
	pthread_mutex_lock(&findings->lock);
}

void findings_unlock(struct findings *findings)
{
	pthread_mutex_unlock(&findings->lock);
}

int findings_note(struct findings *findings, const char *text)
{
	int error;

	findings_lock(findings);
	error = texts_add_once(&findings->notes, text);
	findings_unlock(findings);
	return error;
}

int findings_partial(struct findings *findings, const char *key, uint64_t bytes, const char *format,
		     ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;
	int error;

	va_start(args, format);
	error = vasprintf(&text, format, args) < 0 ? -ENOMEM : 0;
	va_end(args);
	if (error) {
		text = NULL;
		return error;
	}
	findings_lock(findings);
	error = partials_say(&findings->partials, key, bytes, "%s", text);
	findings_unlock(findings);
	return error;
}

void findings_withdraw_partial(struct findings *findings, const char *key)
{
	findings_lock(findings);
	partials_withdraw(&findings->partials, key);
	findings_unlock(findings);
}
