#include "findings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static bool is_said(const struct findings *findings, const char *text)
{
	for (size_t i = 0; i < findings->note_count; i++)
		if (!strcmp(findings->notes[i], text))
			return true;
	return false;
}

/* The last of all is written anew. */
static int leave_out(struct findings *findings)
{
	bool is_first = !findings->left_out;
	_cleanup_free_ char *text = NULL;
	int error;

	if (asprintf(&text, "%" PRIu64 " more note%s left out: there is room for %d",
		     findings->left_out + 1, is_first ? " was" : "s were",
		     FINDINGS_MAX_NOTES - 1) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	if (is_first) {
		error = texts_add(&findings->notes, text);
		if (error)
			return error;
		findings->note_count++;
	} else {
		free(findings->notes[findings->note_count - 1]);
		findings->notes[findings->note_count - 1] = take_ptr(text);
	}
	findings->left_out++;
	return 0;
}

int findings_note(struct findings *findings, const char *text)
{
	int error = 0;

	findings_lock(findings);
	if (is_said(findings, text)) {
		; /* once is enough */
	} else if (findings->note_count >= FINDINGS_MAX_NOTES - 1) {
		error = leave_out(findings);
	} else {
		error = texts_add(&findings->notes, text);
		findings->note_count += error == 0;
	}
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
