/* The words of holders.h. */
#include "holders.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/units.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char dhat_holders_caveat[] = "Pointers are guessed from values: an integer may look like "
				   "one, and one that is hidden (XOR, a "
				   "32-bit offset, on disk, in a pipe) is not seen.";

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

char *dhat_holder_typed_name(const struct dhat_rendering *table, const struct dhat_holders *holders,
			     const struct dhat_rendered_point *point)
{
	const char *type = point ? holders->types[point->number] : "";
	char *name = dhat_holder_name(table, point), *text = NULL;

	if (!name || !*type)
		return name;
	if (asprintf(&text, "%s [%s]", name, type) < 0)
		text = NULL;
	free(name);
	return text;
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

static void put_place(FILE *out, const struct dhat_holder_place *place)
{
	char number[DHAT_UNIT_CHARS];

	if (!place->is_known)
		return;
	if (place->member)
		fprintf(out, " at %s (", place->member);
	else
		fputs(" at ", out);
	fprintf(out, "+%s", dhat_format_count(place->at, number));
	if (place->of)
		fprintf(out, " of %s", dhat_format_count(place->of, number));
	if (place->member)
		fputc(')', out);
}

static void put_link(FILE *out, const struct dhat_rendering *table,
		     const struct dhat_holders *holders, const struct dhat_holder_link *link)
{
	_cleanup_free_ char *name = dhat_holder_typed_name(table, holders, link->row);

	fputs(name ? name : "?", out);
	put_place(out, &link->place);
}

/* Tasks are in a list from spawn to end, whoever else has them. */
static const char *one_another(const struct dhat_holder *holder)
{
	return strncmp(holder->type, "Tokio task", 10) ? "one another"
						       : "Tokio's list of tasks (OwnedTasks)";
}

/* What hands memory on for others is on the way to each of them: the chain says it itself. */
char *dhat_holder_chain_text(const struct dhat_rendering *table, const struct dhat_holders *holders,
			     const struct dhat_holder *holder,
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
		fputs(one_another(holder), out);
		put_place(out, &chain->self);
		is_first = false;
	}
	for (size_t i = 0; i < chain->link_count; i++) {
		fputs(is_first ? "" : " <- ", out);
		put_link(out, table, holders, &chain->links[i]);
		is_first = false;
	}
	fprintf(out, "%s%s", is_first ? "" : " <- ",
		chain->root ? chain->root->name : "a chain that is longer");
	if (chain->root)
		fputs(chain->in_root, out);
	if (chain->root && chain->root_words == 1 && (chain->is_past_end || chain->is_unknown))
		fputs(" (by one word)", out);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

bool dhat_holder_is_in_cycle(const struct dhat_holder *holder,
			     const struct dhat_holder_cycle *cycle)
{
	for (size_t i = 0; i < cycle->link_count; i++)
		if (cycle->links[i].row == holder->point)
			return true;
	return false;
}

char *dhat_holder_cycle_text(const struct dhat_rendering *table, const struct dhat_holders *holders,
			     const struct dhat_holder_cycle *cycle)
{
	char *text = NULL, number[DHAT_UNIT_CHARS + 8];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "%s in a cycle: ", blocks(cycle->lost.blocks, number));
	for (size_t i = 0; i < cycle->link_count; i++) {
		put_link(out, table, holders, &cycle->links[i]);
		fputs(" -> ", out);
	}
	if (cycle->is_cut) {
		fputs("...", out);
	} else if (cycle->length == 1) {
		fputs("itself", out);
	} else {
		_cleanup_free_ char *name = dhat_holder_name(table, cycle->links[0].row);

		fputs(name ? name : "?", out);
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

char *dhat_holder_inside_text(const struct dhat_holder *holder)
{
	char *text = NULL, number[DHAT_UNIT_CHARS + 8];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (holder->from_inside.blocks == holder->live.blocks)
		fputs("held only from inside", out);
	else
		fprintf(out, "%s held only from inside",
			blocks(holder->from_inside.blocks, number));
	if (holder->into.is_known)
		fputc(',', out);
	put_place(out, &holder->into);
	fputs(": a pointer to a part keeps the whole block", out);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- one address ---------------------------------------------------------------------------- */

static const struct {
	const char *answer, *text;
} answers[] = {
	{ "young", "It was allocated while its memory was looked at: ask again." },
	{ "freed", "It was freed while its memory was looked at." },
	{ "held", "It is held by" },
	{ "past end", "Only a pointer to its end holds it:" },
	{ "unknown", "Whether it is held is unknown: only what may be left over leads to it," },
	{ "tagged", "Whether it is held is unknown: what leads to it looks like a pointer with a "
		    "tag," },
	{ "lost", "It is lost: in all scans nothing that the process can reach pointed to it." },
	{ "unseen", "No holder was seen, which does not say that there is none." },
};

static const char *answer_text(const char *answer)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		if (!strcmp(answers[i].answer, answer))
			return answers[i].text;
	return "What holds it is told in a way that this dhatctl does not know.";
}

static void put_block(FILE *out, const struct dhat_rendering *table,
		      const struct dhat_holders *holders, const Dhat__HoldsWhy *why)
{
	const struct dhat_rendered_point *row = why->point ? table->point_of[why->point - 1] : NULL;
	_cleanup_free_ char *name = dhat_holder_typed_name(table, holders, row);
	char within[DHAT_UNIT_CHARS], bytes[DHAT_UNIT_CHARS], age[DHAT_UNIT_CHARS + 8];

	fprintf(out, "0x%" PRIx64 " is ", why->address);
	if (why->address == why->block)
		fputs("the beginning of", out);
	else
		fprintf(out, "at +%s of", dhat_format_count(why->address - why->block, within));
	fprintf(out, " a block of %s bytes from %s, %s old. ", dhat_format_count(why->bytes, bytes),
		name ? name : "?", dhat_format_duration(why->age_ns, age));
	fputs(answer_text(why->answer), out);
	if (!strcmp(why->answer, "lost") || !strcmp(why->answer, "unseen"))
		fputs(why->n_steps ? " These point to it:" : " No block points to it.", out);
}

char *dhat_holder_why_text(const struct dhat_rendering *table, const struct dhat_holders *holders,
			   const Dhat__HoldsWhy *why)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (why->block)
		put_block(out, table, holders, why);
	else if (!strcmp(why->answer, "young"))
		fprintf(out,
			"0x%" PRIx64 " is in a block that was allocated while its memory was "
			"looked at: ask again.",
			why->address);
	else if (*why->place)
		fprintf(out, "0x%" PRIx64 " is in no live block: it is in %s%s.", why->address,
			why->place, why->is_root ? ", and what it points to is held" : "");
	else
		fprintf(out, "0x%" PRIx64 " is nowhere in the memory of the process.",
			why->address);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

char *dhat_holder_step_text(const struct dhat_rendering *table, const struct dhat_holders *holders,
			    const Dhat__HoldsStep *step)
{
	const struct dhat_holder_link link =
		dhat_holder_link_of(table, &step->point, &step->place, 1, 0);
	char *text = NULL, count[DHAT_UNIT_CHARS];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "0x%" PRIx64 " ", step->block);
	put_link(out, table, holders, &link);
	if (step->run > 1)
		fprintf(out, ", and %s more of these, one behind the other",
			dhat_format_count(step->run - 1, count));
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- what ends cycles ----------------------------------------------------------------------- */

static const struct {
	const char *function; /* is part of the name of one that allocates */
	const char *cure;
} cures[] = {
	{ "alloc::sync::Arc<", "an Arc counts: of two that hold one another let one hold the other "
			       "by a Weak (Arc::downgrade)" },
	{ "alloc::rc::Rc<", "an Rc counts: of two that hold one another let one hold the other by "
			    "a Weak (Rc::downgrade)" },
	{ "std::make_shared", "a shared_ptr counts: of two that hold one another let one hold the "
			      "other by a weak_ptr" },
	{ "std::allocate_shared", "a shared_ptr counts: of two that hold one another let one hold "
				  "the other by a weak_ptr" },
	{ "std::__shared_count<", "a shared_ptr counts: of two that hold one another let one hold "
				  "the other by a weak_ptr" },
	{ "std::__shared_ptr<", "a shared_ptr counts: of two that hold one another let one hold "
				"the other by a weak_ptr" },
	{ "g_type_create_instance", "a GObject counts: of two that hold one another let one hold "
				    "the other by a GWeakRef, or let go in dispose" },
	{ "PyType_GenericAlloc", "Python's collector frees such a cycle only where each type on "
				 "it has tp_traverse and tp_clear (and it is tracked)" },
	{ "_PyObject_GC_New", "Python's collector frees such a cycle only where each type on it "
			      "has tp_traverse and tp_clear (and it is tracked)" },
	{ "_PyObject_New", "Python's collector knows only types with Py_TPFLAGS_HAVE_GC, "
			   "tp_traverse and tp_clear: of others cycles stay" },
};

static const char *cure_of(const Dhat__Frame *frame)
{
	for (size_t i = 0; i < frame->n_locations; i++)
		for (size_t j = 0; j < ARRAY_SIZE(cures); j++)
			if (strstr(frame->locations[i]->function, cures[j].function))
				return cures[j].cure;
	return NULL;
}

#define CURE_FRAMES 8 /* the innermost: further out it is somebody who holds such a thing */

const char *dhat_holder_cure(const struct dhat_rendering *table,
			     const struct dhat_holder_cycle *cycle)
{
	const struct dhat_snapshot *snapshot = table->snapshot;

	/* a row may have blocks that were made in other ways, too */
	for (size_t i = 0; i < cycle->part->n_points; i++) {
		uint32_t number = cycle->part->points[i];
		const Dhat__ProgramPoint *point = number ? snapshot->points[number - 1] : NULL;

		for (size_t j = 0; point && j < point->n_frames && j < CURE_FRAMES; j++) {
			const char *cure = cure_of(snapshot->frames[point->frames[j] - 1]);

			if (cure)
				return cure;
		}
	}
	return NULL;
}

/* ---- the others ----------------------------------------------------------------------------- */

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

/* Of an allocator whose blocks from before the attach cannot be listed. */
static bool is_of_before(const Dhat__Holds *holds)
{
	bool is_most = or_none(holds->unknown)->blocks > or_none(holds->held)->blocks;

	for (size_t i = 0; i < holds->n_roots && is_most; i++)
		if (!strcmp(holds->roots[i]->kind, "free memory") &&
		    strstr(holds->roots[i]->name, "before the attach"))
			return true;
	return false;
}

/* What is not called lost, and nobody was seen to hold. */
static void put_unseen(FILE *out, const Dhat__Holds *holds)
{
	const Dhat__HoldsSum *unseen = holds->unseen;

	if (!holds->withdrawn_blocks) {
		fputc(' ', out);
		put_sum(out, unseen);
		fprintf(out,
			" %s new or on the move during the last scan: there no holder was seen, "
			"yet.",
			unseen->blocks == 1 ? "was" : "were");
	} else if (or_none(holds->lost)->blocks) {
		fputs(" Of ", out);
		put_sum(out, unseen);
		fputs(" more no holder was seen.", out);
	}
}

static void put_headline(FILE *out, const Dhat__Holds *holds)
{
	const Dhat__HoldsSum *lost = or_none(holds->lost), *unseen = or_none(holds->unseen);
	const Dhat__HoldsSum *unknown = or_none(holds->unknown);
	char time[DHAT_UNIT_CHARS + 8];

	if (*holds->since)
		fprintf(out, "Of what was allocated since %s: ", holds->since);
	if (lost->blocks) {
		put_sum(out, lost);
		fprintf(out,
			" %s lost: in %" PRIu32 " scan%s over %s nothing in the process pointed "
			"to %s",
			lost->blocks == 1 ? "is" : "are", holds->scans,
			holds->scans == 1 ? "" : "s", dhat_format_duration(holds->took_ns, time),
			lost->blocks == 1 ? "it" : "them");
	} else if (holds->n_refusals) {
		fprintf(out, "%sothing is called lost: %s", *holds->since ? "n" : "N",
			holds->refusals[0]);
		for (size_t i = 1; i < holds->n_refusals; i++)
			fprintf(out, "; %s", holds->refusals[i]);
		if (unseen->blocks) {
			fputs(". Of ", out);
			put_sum(out, unseen);
			fputs(" no holder was seen", out);
		}
	} else if (unseen->blocks && holds->withdrawn_blocks) {
		fprintf(out, "%sothing is called lost, and of ", *holds->since ? "n" : "N");
		put_sum(out, unseen);
		fputs(" no holder was seen", out);
	} else {
		fprintf(out, "%sothing is lost: all live blocks are held",
			*holds->since ? "n" : "N");
		if (unknown->blocks) {
			fputs(", or (", out);
			put_sum(out, unknown);
			fputs(") may be", out);
		}
	}
	fputc('.', out);
	if (unseen->blocks && !holds->n_refusals)
		put_unseen(out, holds);
	if (holds->stopped_ns)
		fprintf(out, " It stood still for %s.",
			dhat_format_duration(holds->stopped_ns, time));
	if (is_of_before(holds))
		fputs(" Most hang on memory from before the attach, and what of that is free is "
		      "not known of this allocator: a program that `dhatd run' starts, or that is "
		      "attached to early, has no such memory.",
		      out);
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
