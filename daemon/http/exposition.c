#include "exposition.h"

#include <inttypes.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"

void exposition_family(struct exposition *page, const char *name, const char *type,
		       const char *help)
{
	page->family = name;
	fprintf(page->file, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void exposition_begin(struct exposition *page)
{
	page->label_count = 0;
	fputs(page->family, page->file);
}

/* A cleaned text has no new lines: what is left are these two. */
static void put_escaped(FILE *file, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			fputc('\\', file);
		fputc(*text, file);
	}
}

void exposition_label(struct exposition *page, const char *name, const char *value)
{
	_cleanup_free_ char *clean = dhat_text_clean(value);

	fprintf(page->file, "%c%s=\"", page->label_count++ ? ',' : '{', name);
	put_escaped(page->file, clean ?: "?");
	fputc('"', page->file);
}

void exposition_label_number(struct exposition *page, const char *name, uint64_t value)
{
	fprintf(page->file, "%c%s=\"%" PRIu64 "\"", page->label_count++ ? ',' : '{', name, value);
}

void exposition_end(struct exposition *page, uint64_t value)
{
	fprintf(page->file, "%s %" PRIu64 "\n", page->label_count ? "}" : "", value);
}

void exposition_end_real(struct exposition *page, double value)
{
	fprintf(page->file, "%s %.15g\n", page->label_count ? "}" : "", value);
}
