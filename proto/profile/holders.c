#include "holders.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/units.h"

const char dhat_holders_caveat[] = "Pointers are guessed from values: an integer may look like "
				   "one, and one that is hidden (XOR, a "
				   "32-bit offset, on disk, in a pipe) is not seen.";

void dhat_holders_deinit(struct dhat_holders *holders)
{
	for (size_t i = 0; i < holders->count; i++) {
		for (size_t j = 0; j < holders->list[i].chain_count; j++)
			free(holders->list[i].chains[j].links);
		free(holders->list[i].chains);
	}
	free(holders->list);
	*holders = (struct dhat_holders){ 0 };
}

/* ---- sums ----------------------------------------------------------------------------------- */

static void add(struct dhat_holding *sum, const Dhat__HoldsSum *part)
{
	if (!part)
		return;
	sum->bytes += part->bytes;
	sum->blocks += part->blocks;
}

static void add_live(struct dhat_holder *holder, struct dhat_holding *sum,
		     const Dhat__HoldsSum *part)
{
	add(sum, part);
	add(&holder->live, part);
}

static void add_point(struct dhat_holder *holder, const Dhat__PointHolds *from)
{
	add_live(holder, &holder->held, from->held);
	add_live(holder, &holder->unknown, from->unknown);
	add_live(holder, &holder->lost, from->lost);
	add_live(holder, &holder->unseen, from->unseen);
	add(&holder->past_end, from->past_end);
	add(&holder->in_cycles, from->in_cycles);
	add(&holder->under_lost, from->under_lost);
	/* of several points one may retain another: no sum */
	if (from->retained && from->retained->bytes > holder->retained.bytes)
		holder->retained =
			(struct dhat_holding){ from->retained->bytes, from->retained->blocks };
	holder->withdrawn_blocks += from->withdrawn_blocks;
}

/* ---- chains --------------------------------------------------------------------------------- */

/* A row comes but once: from its second time on the chain goes on as from its first. Its own row is
 * none. */
static size_t add_link(const struct dhat_rendered_point **links, size_t count,
		       const struct dhat_rendered_point *own,
		       const struct dhat_rendered_point *link)
{
	if (link == own)
		return 0;
	for (size_t i = 0; i < count; i++)
		if (links[i] == link)
			return i + 1;
	links[count] = link;
	return count + 1;
}

static bool is_alike(const struct dhat_holder_chain *a, const struct dhat_holder_chain *b)
{
	return a->root == b->root && a->is_unknown == b->is_unknown &&
	       a->is_past_end == b->is_past_end && a->is_tagged == b->is_tagged &&
	       a->link_count == b->link_count &&
	       (!a->link_count || !memcmp(a->links, b->links, a->link_count * sizeof(*a->links)));
}

static void merge(struct dhat_holder_chain *into, const struct dhat_holder_chain *from)
{
	into->held.bytes += from->held.bytes;
	into->held.blocks += from->held.blocks;
	into->words += from->words;
	into->root_words += from->root_words;
}

static int add_chain(const struct dhat_rendering *table, struct dhat_holder *holder,
		     const Dhat__HoldsChain *from)
{
	_cleanup_free_ const struct dhat_rendered_point **links =
		calloc(from->n_points + 1, sizeof(*links));
	const Dhat__Holds *holds = table->snapshot->end->holds;
	struct dhat_holder_chain chain = {
		.is_unknown = from->is_unknown,
		.is_past_end = from->is_past_end,
		.is_tagged = from->is_tagged,
		.words = from->words,
		.root_words = from->root_words,
		.root = from->root ? holds->roots[from->root - 1] : NULL,
	};

	if (!links)
		return -ENOMEM;
	add(&chain.held, from->held);
	for (size_t i = 0; i < from->n_points; i++)
		chain.link_count =
			add_link(links, chain.link_count, holder->point,
				 from->points[i] ? table->point_of[from->points[i] - 1] : NULL);
	chain.links = links;
	for (size_t i = 0; i < holder->chain_count; i++) {
		if (!is_alike(&holder->chains[i], &chain))
			continue;
		merge(&holder->chains[i], &chain);
		return 0;
	}
	if (array_make_room(&holder->chains, &holder->chain_room, holder->chain_count))
		return -ENOMEM;
	links = NULL; /* the chain's */
	holder->chains[holder->chain_count++] = chain;
	return 0;
}

/* ---- all ------------------------------------------------------------------------------------ */

static int compare_chains(const void *a_, const void *b_)
{
	const struct dhat_holder_chain *a = a_, *b = b_;

	if (a->is_unknown != b->is_unknown)
		return a->is_unknown ? 1 : -1;
	return a->held.bytes > b->held.bytes ? -1 : a->held.bytes < b->held.bytes;
}

static int compare_holders(const void *a_, const void *b_)
{
	const struct dhat_holder *a = a_, *b = b_;

	if (a->lost.bytes != b->lost.bytes)
		return a->lost.bytes > b->lost.bytes ? -1 : 1;
	if (a->live.bytes != b->live.bytes)
		return a->live.bytes > b->live.bytes ? -1 : 1;
	return a->point->number < b->point->number ? -1 : a->point->number > b->point->number;
}

static int add_all(const struct dhat_rendering *table, struct dhat_holders *holders)
{
	int r = 0;

	for (size_t i = 0; i < table->snapshot->point_count && r == 0; i++) {
		const Dhat__PointHolds *from = table->snapshot->points[i]->holds;
		struct dhat_holder *holder;

		if (!from || !table->point_of[i])
			continue;
		holder = &holders->list[table->point_of[i]->number];
		add_point(holder, from);
		for (size_t j = 0; j < from->n_chains && r == 0; j++)
			r = add_chain(table, holder, from->chains[j]);
	}
	return r;
}

int dhat_holders_make(const struct dhat_rendering *table, struct dhat_holders *ret)
{
	_cleanup_(dhat_holders_deinit) struct dhat_holders holders = { 0 };
	int r;

	holders.list = calloc(table->point_count + 1, sizeof(*holders.list));
	if (!holders.list)
		return -ENOMEM;
	holders.count = table->point_count;
	for (size_t i = 0; i < table->point_count; i++)
		holders.list[table->points[i]->number].point = table->points[i];
	r = add_all(table, &holders);
	if (r)
		return r;
	qsort(holders.list, holders.count, sizeof(*holders.list), compare_holders);
	for (size_t i = 0; i < holders.count; i++) {
		struct dhat_holder *holder = &holders.list[i];

		if (holder->chain_count)
			qsort(holder->chains, holder->chain_count, sizeof(*holder->chains),
			      compare_chains);
		holders.lost_count += holder->lost.blocks > 0;
	}
	*ret = holders;
	holders = (struct dhat_holders){ 0 };
	return 0;
}

/* ---- words ---------------------------------------------------------------------------------- */

char *dhat_holder_name(const struct dhat_rendering *table, const struct dhat_rendered_point *point)
{
	_cleanup_free_ char *name = NULL;
	const char *place = NULL;
	char *text = NULL;

	if (!point)
		return strdup("a block whose stack is not known");
	dhat_table_line_split(table->lines[point->lines[0]], &name, &place);
	if (!name)
		return NULL;
	if (!place)
		return take_ptr(name);
	return asprintf(&text, "%s (%s)", name, place) < 0 ? NULL : text;
}

static const char *blocks(uint64_t count, char text[DHAT_UNIT_CHARS + 8])
{
	char number[DHAT_UNIT_CHARS];

	snprintf(text, DHAT_UNIT_CHARS + 8, "%s block%s", dhat_format_count(count, number),
		 count == 1 ? "" : "s");
	return text;
}

static void put_how(FILE *out, const struct dhat_holder *holder,
		    const struct dhat_holder_chain *chain)
{
	char count[DHAT_UNIT_CHARS + 8];

	if (chain->held.blocks != holder->live.blocks)
		fprintf(out, "%s ", blocks(chain->held.blocks, count));
	if (chain->is_tagged)
		fputs("unknown, by what looks like a pointer with a tag: ", out);
	else if (chain->is_unknown)
		fputs("unknown, only by ", out);
	else if (chain->is_past_end)
		fputs("held by a pointer to where they end: ", out);
	else
		fputs("held by ", out);
}

/* What hands memory on for others is on the way to each of them: the chain says it itself. */
char *dhat_holder_chain_text(const struct dhat_rendering *table, const struct dhat_holder *holder,
			     const struct dhat_holder_chain *chain)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	bool is_first = true;

	if (!out)
		return NULL;
	put_how(out, holder, chain);
	if (chain->words * 2 < chain->held.blocks) {
		fputs("one another", out);
		is_first = false;
	}
	for (size_t i = 0; i < chain->link_count; i++) {
		_cleanup_free_ char *name = dhat_holder_name(table, chain->links[i]);

		fprintf(out, "%s%s", is_first ? "" : " <- ", name ? name : "?");
		is_first = false;
	}
	fprintf(out, "%s%s", is_first ? "" : " <- ",
		chain->root ? chain->root->name : "a chain that is longer");
	if (chain->root && chain->root_words == 1 && (chain->is_past_end || chain->is_unknown))
		fputs(" (by one word)", out);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

char *dhat_holder_lost_text(const struct dhat_holder *holder)
{
	uint64_t alone = holder->lost.blocks - holder->in_cycles.blocks - holder->under_lost.blocks;
	const struct {
		uint64_t blocks;
		const char *all, *some;
	} parts[] = {
		{ holder->in_cycles.blocks, "they hold one another in cycles", "in cycles" },
		{ holder->under_lost.blocks, "only lost blocks point to them",
		  "held only by lost blocks" },
		{ alone, "no block points to them", "without any pointer to them" },
	};
	char *text = NULL, count[DHAT_UNIT_CHARS + 8];
	size_t size, told = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (holder->lost.blocks != holder->live.blocks)
		fprintf(out, "%s ", blocks(holder->lost.blocks, count));
	fputs("lost: ", out);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!parts[i].blocks)
			continue;
		if (parts[i].blocks == holder->lost.blocks)
			fputs(parts[i].all, out);
		else
			fprintf(out, "%s%s %s", told ? ", " : "",
				dhat_format_count(parts[i].blocks, count), parts[i].some);
		told++;
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

static const Dhat__HoldsSum *or_none(const Dhat__HoldsSum *sum)
{
	static const Dhat__HoldsSum none = DHAT__HOLDS_SUM__INIT;

	return sum ? sum : &none;
}

static void put_sum(FILE *out, const Dhat__HoldsSum *sum)
{
	char size[DHAT_UNIT_CHARS], count[DHAT_UNIT_CHARS + 8];

	fprintf(out, "%s in %s", dhat_format_size(sum->bytes, size), blocks(sum->blocks, count));
}

static void put_headline(FILE *out, const Dhat__Holds *holds)
{
	const Dhat__HoldsSum *lost = or_none(holds->lost), *unseen = or_none(holds->unseen);
	const Dhat__HoldsSum *unknown = or_none(holds->unknown);
	char time[DHAT_UNIT_CHARS + 8];

	if (lost->blocks) {
		put_sum(out, lost);
		fprintf(out,
			" %s lost: in %" PRIu32 " scans over %s nothing in the process pointed "
			"to %s",
			lost->blocks == 1 ? "is" : "are", holds->scans,
			dhat_format_duration(holds->took_ns, time),
			lost->blocks == 1 ? "it" : "them");
	} else if (holds->n_refusals) {
		fprintf(out, "Nothing is called lost: %s", holds->refusals[0]);
		for (size_t i = 1; i < holds->n_refusals; i++)
			fprintf(out, "; %s", holds->refusals[i]);
		if (unseen->blocks) {
			fputs(". Of ", out);
			put_sum(out, unseen);
			fputs(" no holder was seen", out);
		}
	} else {
		fputs("Nothing is lost: all live blocks are held", out);
		if (unknown->blocks) {
			fputs(", or (", out);
			put_sum(out, unknown);
			fputs(") may be", out);
		}
	}
	fputc('.', out);
	if (unseen->blocks && !holds->n_refusals) {
		fputc(' ', out);
		put_sum(out, unseen);
		fprintf(out,
			" %s new or on the move during the last scan: there no holder was seen, "
			"yet.",
			unseen->blocks == 1 ? "was" : "were");
	}
	if (holds->withdrawn_blocks)
		fprintf(out,
			" %s that an earlier answer called lost %s freed, or seen to be held, "
			"since: of their sites nothing is called lost any more.",
			blocks(holds->withdrawn_blocks, time),
			holds->withdrawn_blocks == 1 ? "was" : "were");
}

char *dhat_holders_headline(const Dhat__Holds *holds)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	put_headline(out, holds);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
