/* JUnit's XML, as Jenkins, GitLab and others read it. */
#include <errno.h>
#include <string.h>

#include "judged.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"

/* Text in an attribute or an element. It is clean but for new lines; XML 1.0, 2.2 forbids U+FFFE
 * and U+FFFF, too. */
static void put(FILE *file, const char *text, bool is_attribute)
{
	static const struct {
		char character;
		const char *entity;
	} entities[] = { { '&', "&amp;" },  { '<', "&lt;" },	{ '>', "&gt;" },
			 { '"', "&quot;" }, { '\'', "&apos;" }, { '\n', "&#10;" } };

	for (; *text; text++) {
		const char *entity = NULL;

		for (size_t i = 0; !entity && i < ARRAY_SIZE(entities); i++)
			entity = *text == entities[i].character ? entities[i].entity : NULL;
		if (*text == '\n' && !is_attribute)
			entity = NULL;
		if (entity) {
			fputs(entity, file);
		} else if (!strncmp(text, "\xef\xbf\xbe", 3) || !strncmp(text, "\xef\xbf\xbf", 3)) {
			fputc('?', file);
			text += 2;
		} else {
			fputc(*text, file);
		}
	}
}

static void begin_case(FILE *file, const struct dhat_judgement *judgement, const char *name)
{
	fputs("    <testcase classname=\"dhatd.", file);
	put(file, judgement->digest->program, true);
	fputs("\" name=\"", file);
	put(file, name, true);
	fputs("\"", file);
}

/* What ends a case that went wrong; kind: "failure", "error". */
static void put_why(FILE *file, const char *kind, const char *type, const char *why,
		    const char *details)
{
	fprintf(file, ">\n      <%s type=\"%s\" message=\"", kind, type);
	put(file, why, true);
	fputs("\">", file);
	put(file, details, false);
	fprintf(file, "</%s>\n    </testcase>\n", kind);
}

static int put_verdict(FILE *file, const struct dhat_judgement *judgement)
{
	_cleanup_free_ char *verdict = judged_verdict(judgement);

	begin_case(file, judgement, "the numbers can be trusted");
	if (judgement->is_trusted)
		fputs("/>\n", file);
	else if (verdict)
		put_why(file, "error", "verdict", verdict, verdict);
	return verdict || judgement->is_trusted ? 0 : -ENOMEM;
}

/* The reason, and the guilty stacks below it. The caller frees. */
static char *details_of(const struct dhat_judgement *judgement, const struct dhat_ruling *ruling,
			const char *reason)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	fputs(reason, file);
	for (size_t i = 0; i < ruling->guilty_count; i++) {
		_cleanup_free_ char *guilty = judged_guilty(judgement, ruling, i, true);

		fprintf(file, "\n\n%zu. %s", i + 1, guilty ?: "?");
	}
	if (fclose(file)) {
		free(text);
		return NULL;
	}
	return text;
}

static int put_ruling(FILE *file, const struct dhat_judgement *judgement,
		      const struct dhat_ruling *ruling)
{
	_cleanup_free_ char *name = dhat_text_clean(ruling->assertion->text),
			    *reason = judged_reason(ruling), *details = NULL;

	if (name && reason && !ruling->holds)
		details = details_of(judgement, ruling, reason);
	if (!name || !reason || (!ruling->holds && !details))
		return -ENOMEM;
	begin_case(file, judgement, name);
	if (ruling->holds)
		fputs("/>\n", file);
	else if (ruling->is_undecided)
		put_why(file, "error", "undecided", reason, details);
	else
		put_why(file, "failure", "assertion", reason, details);
	return 0;
}

static int put_suite(FILE *file, const struct dhat_judgement *judgement)
{
	int r;

	fputs("  <testsuite name=\"dhatd.", file);
	put(file, judgement->digest->program, true);
	fprintf(file,
		"\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"0\" time=\"%.3f\">\n",
		judgement->count + 1, dhat_judgement_failures(judgement),
		!judgement->is_trusted + dhat_judgement_undecided(judgement),
		judgement->snapshot->head->target->observed_ns / 1e9);
	r = put_verdict(file, judgement);
	for (size_t i = 0; r == 0 && i < judgement->count; i++)
		r = put_ruling(file, judgement, &judgement->rulings[i]);
	fputs("  </testsuite>\n", file);
	return r;
}

int judged_junit(FILE *file, struct dhat_judgement *const *judgements, size_t count)
{
	int r = 0;

	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", file);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = put_suite(file, judgements[i]);
	fputs("</testsuites>\n", file);
	return r;
}
