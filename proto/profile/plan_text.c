#include "plan_text.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/program.h"
#include "proto/base/text.h"
#include "proto/base/units.h"

#define TEXT_COLUMN 13 /* behind a title */

/* link: of most probes; only what differs is said. */
static void print_probe(struct screen *screen, const Dhat__Probe *probe, const char *link)
{
	char place[512];

	fputs("    ", screen->file);
	screen_column(screen, probe->function, 16);
	snprintf(place, sizeof(place), "%s+0x%" PRIx64, dhat_text_base_name(probe->object),
		 probe->site_vaddr);
	fputc(' ', screen->file);
	screen_column(screen, place, 20);
	snprintf(place, sizeof(place), "+%" PRIu64, probe->site_vaddr - probe->function_vaddr);
	fputc(' ', screen->file);
	screen_column(screen, place, 4);
	fputc(' ', screen->file);
	screen_column(screen, probe->instruction, 22);
	fputs(probe->is_emulated ? " emulated" : " STEPPED", screen->file);
	if (strcmp(probe->link, link)) {
		fputs(", ", screen->file);
		screen_text(screen, probe->link);
	}
	if (*probe->returns_by && strcmp(probe->returns_by, probe->link)) {
		fputs(", ", screen->file);
		screen_text(screen, probe->returns_by);
	}
	fputc('\n', screen->file);
	if (*probe->note) {
		fputs("      ", screen->file);
		screen_paragraph(screen, 6, probe->note);
	}
}

void plan_text_probes(struct screen *screen, Dhat__Probe *const *probes, size_t count)
{
	const char *link = count ? probes[0]->link : "";

	if (!count)
		return;
	fprintf(screen->file, "  probes     %zu, linked by ", count);
	screen_text(screen, link);
	fputc('\n', screen->file);
	for (size_t i = 0; i < count; i++)
		print_probe(screen, probes[i], link);
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

/* "5 %", "0.3 %" */
static void print_percent(struct screen *screen, const char *how, double percent)
{
	fprintf(screen->file, "  %-10s %s %.*f %% of one core, in the process itself\n", "cost",
		how, percent < 10, percent);
}

static void print_cost(struct screen *screen, const Dhat__Plan *plan)
{
	char text[DHAT_UNIT_CHARS];

	if (plan->allocs_per_second >= 0)
		fprintf(screen->file, "  %-10s about %s allocations a second\n", "rate",
			dhat_format_count((uint64_t)(plan->allocs_per_second + 0.5), text));
	if (plan->cost_percent >= 0)
		print_percent(screen, "about", plan->cost_percent);
	else if (plan->cost_at_most_percent > 0) /* an older dhatd does not tell: 0 */
		print_percent(screen, "less than", plan->cost_at_most_percent);
	if (*plan->cost_basis) {
		fprintf(screen->file, "  %-10s ", "basis");
		screen_paragraph(screen, TEXT_COLUMN, plan->cost_basis);
	}
}

void plan_text_print(FILE *file, const Dhat__Plan *plan, uint32_t pid)
{
	char name[DHAT_PROGRAM_CHARS];
	struct screen screen;

	screen_init(&screen, file);
	if (plan->target) {
		screen_text(&screen, dhat_program_name(plan->target->command,
						       plan->target->executable, name));
		fprintf(file, " (pid %" PRIu32 ")\n", plan->target->pid);
	} else {
		fprintf(file, "process %" PRIu32 "\n", pid);
	}
	fputs("  ", file);
	screen_mark(&screen, plan->is_safe ? MARK_BOLD : MARK_BAD);
	screen_paragraph(&screen, 2, plan->verdict);
	screen_mark(&screen, MARK_NONE);
	print_hazards(&screen, plan);
	if (plan->target)
		plan_text_list(&screen, "allocators", plan->target->allocators,
			       plan->target->n_allocators);
	print_cost(&screen, plan);
	plan_text_probes(&screen, plan->probes, plan->n_probes);
}
