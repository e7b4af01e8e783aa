#include "index_page.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/program.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "proto/profile/verdict.h"

void index_page_begin(FILE *file)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	      "<title>dhatd</title>\n<style>:root { color-scheme: light dark; } body { font: 15px "
	      "sans-serif; margin: 2em; } td, th { text-align: left; padding: 0.2em 1.5em 0.2em 0; "
	      "}</style></head>\n<body><h1>dhatd " DHAT_VERSION "</h1>\n<table>\n<tr><th>Process"
	      "<th>State<th>Live<th>Peak<th>Numbers<th>Files</tr>\n",
	      file);
}

static void put_text(FILE *file, const char *text)
{
	_cleanup_free_ char *clean = dhat_text_clean(text);

	for (const char *c = clean ?: "?"; *c; c++) {
		if (strchr("&<>\"'", *c))
			fprintf(file, "&#%d;", *c);
		else
			fputc(*c, file);
	}
}

void index_page_add(FILE *file, const Dhat__TargetStatus *status)
{
	const Dhat__Target *target = status->target;
	char program[DHAT_PROGRAM_CHARS], live[DHAT_UNIT_CHARS], peak[DHAT_UNIT_CHARS];

	fprintf(file, "<tr><td><a href=\"/report?pid=%" PRIu32 "\">", target->pid);
	put_text(file, dhat_program_name(target->command, target->executable, program));
	fprintf(file, " (pid %" PRIu32 ")</a><td>", target->pid);
	put_text(file, target->state);
	fprintf(file, "<td>%s<td>%s<td>", dhat_format_size(status->totals->live_bytes, live),
		dhat_format_size(status->totals->peak_bytes, peak));
	put_text(file, dhat_verdict_word(dhat_verdict_of(status->verdict)));
	fprintf(file,
		"<td><a href=\"/snapshot?pid=%" PRIu32 "\">.dhat</a> "
		"<a href=\"/debug/pprof/heap?pid=%" PRIu32 "\">pprof</a></tr>\n",
		target->pid, target->pid);
}

void index_page_add_failure(FILE *file, const char *program, pid_t pid, const char *why)
{
	fputs("<tr><td>", file);
	put_text(file, program);
	fprintf(file, " (pid %d)<td colspan=\"5\">", (int)pid);
	put_text(file, why);
	fputs("</tr>\n", file);
}

void index_page_end(FILE *file)
{
	fputs("</table>\n<p><a href=\"/metrics\">metrics</a></p></body></html>\n", file);
}
