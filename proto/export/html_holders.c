/* What a report says of a scan (held.h): of each stack the way from a root to it, so that the graph
 * can show who holds what; how much each root retains; and columns of what is lost, and of pages.
 *
 * A stack has one way, by what holds most of it; what is lost, or of which no holder is known, is
 * below a root of its own. A way is told as a stack is, of frames: behind those of the stacks come
 * the roots'. */
#include "html.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/profile/holders.h"

/* Before the roots of the scan. */
enum { ROOT_LOST, ROOT_UNKNOWN, ROOT_UNSEEN, ROOT_LONGER, ROOT_FIRST };
static const char *const special[ROOT_FIRST] = {
	[ROOT_LOST] = "lost: nothing points to it",
	[ROOT_UNKNOWN] = "unknown: held by what may be left over",
	[ROOT_UNSEEN] = "not looked at, or no holder was seen",
	[ROOT_LONGER] = "a chain that is longer",
};

bool html_has_holders(const struct html_page *page)
{
	return page->rendering->snapshot->end->holds && !page->is_difference;
}

size_t html_root_count(const struct html_page *page)
{
	return html_has_holders(page) ? ROOT_FIRST + page->rendering->snapshot->end->holds->n_roots
				      : 0;
}

char *html_root_name(const struct html_page *page, size_t root)
{
	if (root < ROOT_FIRST)
		return strdup(special[root]);
	return dhat_text_clean(
		page->rendering->snapshot->end->holds->roots[root - ROOT_FIRST]->name);
}

static size_t number_of(const struct html_page *page, const Dhat__HoldsRoot *root)
{
	const Dhat__Holds *holds = page->rendering->snapshot->end->holds;

	for (size_t i = 0; i < holds->n_roots; i++)
		if (holds->roots[i] == root)
			return ROOT_FIRST + i;
	return ROOT_LONGER;
}

/* The innermost frame of one's own code; there is none: the innermost one. */
static uint32_t site_of(const struct html_page *page, const struct dhat_rendered_point *point)
{
	for (uint32_t i = 0; i < point->line_count; i++) {
		const char *line = page->rendering->lines[point->lines[i]];
		size_t length = strlen(line);

		if (length > 2 && !strcmp(line + length - 2, "\t1"))
			return point->lines[i];
	}
	return point->lines[0];
}

/* From the outermost link inwards. */
static void put_way(const struct html_page *page, const struct dhat_holder *holder,
		    const struct dhat_holder_chain *chain, size_t root)
{
	size_t first = page->rendering->line_count, known = 0;

	for (size_t i = 0; chain && i < chain->link_count; i++)
		known += chain->links[i].row != NULL;
	fprintf(page->file, "0,%zu,%zu", known + 2, first + root);
	for (size_t i = chain ? chain->link_count : 0; i-- > 0;)
		if (chain->links[i].row)
			fprintf(page->file, ",%" PRIu32, site_of(page, chain->links[i].row));
	fprintf(page->file, ",%" PRIu32, site_of(page, holder->point));
}

static void put_holder(const struct html_page *page, const struct dhat_holder *holder)
{
	const struct dhat_holder_chain *chain = holder->chain_count ? &holder->chains[0] : NULL;

	if (holder->lost.bytes && (!chain || holder->lost.bytes >= chain->held.bytes))
		put_way(page, holder, NULL, ROOT_LOST);
	else if (!chain || holder->unseen.bytes > chain->held.bytes)
		put_way(page, holder, NULL, ROOT_UNSEEN);
	else if (chain->is_unknown)
		put_way(page, holder, NULL, ROOT_UNKNOWN);
	else
		put_way(page, holder, chain, number_of(page, chain->root));
}

static void put_roots(const struct html_page *page)
{
	const Dhat__Holds *holds = page->rendering->snapshot->end->holds;
	const char *comma = "";

	fputs(",\n\"retained\":[", page->file);
	for (size_t i = 0; i < holds->n_roots; i++) {
		if (!holds->roots[i]->retained)
			continue;
		fprintf(page->file, "%s%zu,%" PRIu64, comma,
			page->rendering->line_count + ROOT_FIRST + i,
			holds->roots[i]->retained->bytes);
		comma = ",";
	}
	fputc(']', page->file);
}

int html_put_holders(const struct html_page *page)
{
	_cleanup_(dhat_holders_deinit) struct dhat_holders holders = { 0 };
	_cleanup_free_ const struct dhat_holder **of_point = NULL;
	const struct dhat_rendering *rendering = page->rendering;
	char text[DHAT_HELD_CHARS];
	int r;

	if (!html_has_holders(page))
		return 0;
	of_point = calloc(rendering->point_count + 1, sizeof(*of_point));
	r = of_point ? dhat_holders_make(rendering, &holders) : -ENOMEM;
	if (r < 0)
		return r;
	for (size_t i = 0; i < holders.count; i++)
		of_point[holders.list[i].point->number] = &holders.list[i];
	fputs(",\n\"held\":[", page->file);
	for (size_t i = 0; i < rendering->point_count; i++) {
		fputs(i ? ",\n" : "", page->file);
		put_holder(page, of_point[page->order[i]->number]);
	}
	fputc(']', page->file);
	put_roots(page);
	dhat_held_say(rendering->snapshot, text);
	fputs(",\n\"scan\":", page->file);
	return html_put_string(page, text);
}

/* ---- columns ------------------------------------------------------------------------------- */

static void put_column(const struct html_page *page, const char *key, const char *label,
		       const char *unit, size_t offset)
{
	fprintf(page->file,
		",\n{\"key\":\"%s\",\"label\":\"%s\",\"unit\":\"%s\",\"is_sum\":true,\"values\":[",
		key, label, unit);
	for (size_t i = 0; i < page->rendering->point_count; i++)
		fprintf(page->file, "%s%" PRIu64, i ? "," : "",
			*(const uint64_t *)((const char *)page->order[i] + offset));
	fputs("]}", page->file);
}

#define POINT(field) offsetof(struct dhat_rendered_point, field)
void html_put_scan_columns(const struct html_page *page)
{
	if (html_has_holders(page)) {
		put_column(page, "lost-bytes", "Lost", "bytes", POINT(held.lost_bytes));
		put_column(page, "lost-blocks", "Lost", "blocks", POINT(held.lost_blocks));
	}
	if (page->rendering->snapshot->head->has_pages && !page->is_difference) {
		put_column(page, "resident-bytes", "Of it in memory", "bytes",
			   POINT(pages.resident_bytes));
		put_column(page, "beside-bytes", "Free beside it", "bytes",
			   POINT(pages.beside_bytes));
	}
}
#undef POINT
