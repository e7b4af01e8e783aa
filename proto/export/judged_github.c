/* Annotations of GitHub's workflows: "::error file=…,line=…,title=…::…", a line each. */
#include <inttypes.h>
#include <string.h>

#include "judged.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/profile/own_code.h"

/* As @actions/core escapes (escapeData, escapeProperty): what would end the order, or a part of it.
 */
static void put(FILE *file, const char *text, bool is_property)
{
	const char *special = is_property ? "%\r\n:," : "%\r\n";

	for (; *text; text++) {
		if (strchr(special, *text))
			fprintf(file, "%%%02X", (unsigned char)*text);
		else
			fputc(*text, file);
	}
}

/* Below the root as it has to be for the annotation to be shown there. */
static const char *below(const char *path, const char *root)
{
	size_t length = root ? strlen(root) : 0;

	while (length && root[length - 1] == '/')
		length--;
	if (length && !strncmp(path, root, length) && path[length] == '/')
		path += length + 1;
	while (!strncmp(path, "./", 2))
		path += 2;
	return path;
}

/* The innermost own frame that has a line of source. */
static void put_place(FILE *file, const struct dhat_judgement *judgement,
		      const struct dhat_ruling *ruling, const char *root)
{
	struct dhat_own_frame own = { 0 };

	if (!ruling->guilty_count)
		return;
	while (dhat_own_next(judgement->snapshot, ruling->guilty[0].row->point->part, &own)) {
		_cleanup_free_ char *path = NULL;

		if (!own.location || !*own.location->file || !own.location->line)
			continue;
		path = dhat_text_clean(below(own.location->file, root));
		fputs("file=", file);
		put(file, path ?: "?", true);
		fprintf(file, ",line=%" PRIu32 ",", own.location->line);
		return;
	}
}

static void put_ruling(FILE *file, const struct dhat_judgement *judgement,
		       const struct dhat_ruling *ruling, const char *root)
{
	_cleanup_free_ char *title = dhat_text_clean(ruling->assertion->text),
			    *reason = judged_reason(ruling);

	fputs("::error ", file);
	put_place(file, judgement, ruling, root);
	fputs("title=", file);
	put(file, title ?: "?", true);
	fputs("::", file);
	put(file, reason ?: "?", false);
	for (size_t i = 0; i < ruling->guilty_count; i++) {
		_cleanup_free_ char *guilty = judged_guilty(judgement, ruling, i, false);

		put(file, "\n", false);
		put(file, guilty ?: "?", false);
	}
	fputc('\n', file);
}

void judged_github(FILE *file, const struct dhat_judgement *judgement, const char *root)
{
	_cleanup_free_ char *verdict = judged_verdict(judgement);

	if (!judgement->is_trusted) {
		fputs("::error title=dhatd::", file);
		put(file, verdict ?: "the numbers are not exact", false);
		fputc('\n', file);
	}
	for (size_t i = 0; i < judgement->count; i++)
		if (!judgement->rulings[i].holds)
			put_ruling(file, judgement, &judgement->rulings[i], root);
}
