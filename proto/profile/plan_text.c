#include "plan_text.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/program.h"
#include "proto/base/text.h"
#include "proto/base/units.h"

#define TEXT_COLUMN 13 /* behind a title */
#define INSTRUCTION_COLUMNS 22
#define LEAST_INSTRUCTION_COLUMNS 12 /* as much as screen_room() gives */

/* ---- probes -------------------------------------------------------------------------------- */

struct probe_columns {
	size_t function, place;
	size_t others;	/* all that a line has, but the instruction and what stands at the end */
	bool is_folded; /* the screen is too narrow for one line each */
};

static void format_place(const Dhat__Probe *probe, char *ret, size_t size)
{
	snprintf(ret, size, "%s+0x%" PRIx64, dhat_text_base_name(probe->object), probe->site_vaddr);
}

/* ", perf, exit probes": what differs from most probes' link. */
static void format_links(const Dhat__Probe *probe, const char *link, char *ret, size_t size)
{
	bool has_link = strcmp(probe->link, link);
	bool has_returns = *probe->returns_by && strcmp(probe->returns_by, probe->link);

	snprintf(ret, size, "%s%s%s%s", has_link ? ", " : "", has_link ? probe->link : "",
		 has_returns ? ", " : "", has_returns ? probe->returns_by : "");
}

/* As wide as the widest: names are not cut. */
static struct probe_columns find_columns(const struct screen *screen, Dhat__Probe *const *probes,
					 size_t count, const char *link)
{
	struct probe_columns columns = { 0 };
	char place[512], links[128];
	size_t width, end = 0;

	for (size_t i = 0; i < count; i++) {
		width = dhat_text_width(probes[i]->function);
		columns.function = width > columns.function ? width : columns.function;
		format_place(probes[i], place, sizeof(place));
		width = dhat_text_width(place);
		columns.place = width > columns.place ? width : columns.place;
		format_links(probes[i], link, links, sizeof(links));
		width = dhat_text_width(links);
		end = width > end ? width : end;
	}
	columns.others = 4 + columns.function + 1 + columns.place + strlen(" +123  emulated");
	columns.is_folded =
		screen->width && screen->width < columns.others + LEAST_INSTRUCTION_COLUMNS + end;
	return columns;
}

static void print_probe(struct screen *screen, const Dhat__Probe *probe, const char *link,
			const struct probe_columns *columns)
{
	const char *how = probe->is_emulated	     ? "emulated"
			  : probe->is_executed_by_us ? "by dhatd"
						     : "STEPPED";
	uint64_t offset = probe->site_vaddr - probe->function_vaddr;
	char place[512], links[128], text[1024];

	format_place(probe, place, sizeof(place));
	format_links(probe, link, links, sizeof(links));
	fputs("    ", screen->file);
	if (columns->is_folded) {
		screen_text(screen, probe->function);
		fputs("\n      ", screen->file);
		snprintf(text, sizeof(text), "%s +%" PRIu64 " %s %s%s", place, offset,
			 probe->instruction, how, links);
		screen_paragraph(screen, 6, text);
	} else {
		screen_column(screen, probe->function, columns->function);
		fputc(' ', screen->file);
		screen_column(screen, place, columns->place);
		snprintf(text, sizeof(text), "+%" PRIu64, offset);
		fputc(' ', screen->file);
		screen_column(screen, text, 4);
		fputc(' ', screen->file);
		screen_column(screen, probe->instruction,
			      screen_room(screen, INSTRUCTION_COLUMNS,
					  columns->others + dhat_text_width(links)));
		fprintf(screen->file, " %s", how);
		screen_text(screen, links);
		fputc('\n', screen->file);
	}
	if (*probe->note) {
		fputs("      ", screen->file);
		screen_paragraph(screen, 6, probe->note);
	}
}

void plan_text_probes(struct screen *screen, Dhat__Probe *const *probes, size_t count)
{
	const char *link = count ? probes[0]->link : "";
	struct probe_columns columns = find_columns(screen, probes, count, link);

	if (!count)
		return;
	fprintf(screen->file, "  probes     %zu, linked by ", count);
	screen_text(screen, link);
	fputc('\n', screen->file);
	for (size_t i = 0; i < count; i++)
		print_probe(screen, probes[i], link, &columns);
}

void plan_text_list(struct screen *screen, const char *title, char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fprintf(screen->file, "  %-10s ", i ? "" : title);
		screen_paragraph(screen, TEXT_COLUMN, texts[i]);
	}
}

static void print_hazards(struct screen *screen, const Dhat__Plan *plan)
{
	for (size_t i = 0; i < plan->n_hazards; i++) {
		const Dhat__Hazard *hazard = plan->hazards[i];

		fprintf(screen->file, "  %-10s ", i ? "" : "hazards");
		screen_mark(screen, hazard->is_blocking ? MARK_BAD : MARK_BOLD);
		screen_text(screen, hazard->name);
		screen_mark(screen, MARK_NONE);
		fprintf(screen->file, "%s\n%*s", hazard->is_blocking ? " (in the way)" : "",
			TEXT_COLUMN, "");
		screen_paragraph(screen, TEXT_COLUMN, hazard->detail);
	}
}

/* "about 5 %", "about 0.3 %", "less than 0.1 %" */
static void print_percent(struct screen *screen, const char *how, double percent)
{
	if (percent > 0 && percent < 0.05) {
		how = "less than";
		percent = 0.1;
	}
	char text[128];

	snprintf(text, sizeof(text), "%s %.*f %% of one core, in the process itself", how,
		 percent < 10, percent);
	fprintf(screen->file, "  %-10s ", "cost");
	screen_paragraph(screen, TEXT_COLUMN, text);
}

static void print_cost(struct screen *screen, const Dhat__Plan *plan)
{
	char text[DHAT_UNIT_CHARS], sample[256];

	if (plan->allocs_per_second >= 0)
		fprintf(screen->file, "  %-10s about %s allocations a second\n", "rate",
			dhat_format_count((uint64_t)(plan->allocs_per_second + 0.5), text));
	if (plan->cost_percent >= 0)
		print_percent(screen, "about", plan->cost_percent);
	else if (plan->cost_at_most_percent > 0) /* an older dhatd does not tell: 0 */
		print_percent(screen, "less than", plan->cost_at_most_percent);
	if (plan->sample_bytes) {
		snprintf(sample, sizeof(sample),
			 "1 block per %s: figures will be estimates, with an interval each; the "
			 "cost "
			 "is that of calls that are not drawn, which all but a few are",
			 dhat_format_size(plan->sample_bytes, text));
		fprintf(screen->file, "  %-10s ", "sample");
		screen_paragraph(screen, TEXT_COLUMN, sample);
	}
	if (*plan->cost_basis) {
		fprintf(screen->file, "  %-10s ", "basis");
		screen_paragraph(screen, TEXT_COLUMN, plan->cost_basis);
	}
}

void plan_text_summary(struct screen *screen, const Dhat__Plan *plan, uint32_t pid)
{
	char name[DHAT_PROGRAM_CHARS];

	if (plan->target) {
		screen_text(screen, dhat_program_name(plan->target->command,
						      plan->target->executable, name));
		fprintf(screen->file, " (pid %" PRIu32 ")\n", plan->target->pid);
	} else {
		fprintf(screen->file, "process %" PRIu32 "\n", pid);
	}
	fputs("  ", screen->file);
	screen_mark(screen, plan->is_safe ? MARK_BOLD : MARK_BAD);
	screen_paragraph(screen, 2, plan->verdict);
	screen_mark(screen, MARK_NONE);
	print_hazards(screen, plan);
	if (plan->target)
		plan_text_list(screen, "allocators", plan->target->allocators,
			       plan->target->n_allocators);
	print_cost(screen, plan);
}

void plan_text_print(FILE *file, const Dhat__Plan *plan, uint32_t pid)
{
	struct screen screen;

	screen_init(&screen, file);
	plan_text_summary(&screen, plan, pid);
	plan_text_probes(&screen, plan->probes, plan->n_probes);
}
