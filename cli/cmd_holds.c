/* dhatctl holds: who holds the live blocks, and which are lost. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "births.h"
#include "choice.h"
#include "client.h"
#include "command.h"
#include "input.h"
#include "listing.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/qualifiers.h"
#include "proto/profile/holders.h"
#include "subject.h"
#include "view.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)
DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

struct holds_options {
	struct common common;
	struct subject subject;
	struct listing list;
	const char *site, *since;
	uint64_t why; /* 0: all rows */
	bool is_lost_only, with_stop;
};

enum { KEY_SITE = 0x100, KEY_LOST, KEY_SINCE, KEY_WHY, KEY_STOP };

static const struct argp_option options[] = {
	{ "site", KEY_SITE, "N|FUNCTION", 0,
	  "Of one row only: the Nth of the list, or those whose name has this in it", 1 },
	{ "lost", KEY_LOST, 0, 0, "What is lost only", 1 },
	{ "since", KEY_SINCE, "MARK", 0, "Count what was allocated since a mark only", 1 },
	{ "why", KEY_WHY, "ADDRESS", 0,
	  "What is at one address (hexadecimal), and who holds it, block by block", 1 },
	{ "stop", KEY_STOP, 0, 0,
	  "Stop its threads while it is looked at, about a second for each GiB: then one look is "
	  "enough. "
	  "The price: a call that waits (epoll_wait, semop …) returns EINTR once",
	  1 },
	{ 0 },
};

static error_t parse_address(const char *arg, struct argp_state *state, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(arg, &end, 16);
	if (*ret && !errno && !*end && *arg != '-')
		return 0;
	argp_error(state, "--why %s: that is no address (0x7f…, hexadecimal)", arg);
	return EINVAL;
}

static error_t check(const struct holds_options *wanted, struct argp_state *state)
{
	if (wanted->why && (wanted->site || wanted->is_lost_only || wanted->since))
		argp_error(state, "--why is of one address: without --site, --lost, --since");
	else if ((wanted->why || wanted->since) && wanted->subject.path)
		argp_error(state, "%s is asked of a process that runs, and not of a file",
			   wanted->why ? "--why" : "--since");
	else
		return 0;
	return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct holds_options *wanted = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(
			state, (void *[]){ &wanted->subject.pid, &wanted->list, &wanted->common });
		return 0;
	case KEY_SITE:
		wanted->site = arg;
		return 0;
	case KEY_LOST:
		wanted->is_lost_only = true;
		return 0;
	case KEY_SINCE:
		wanted->since = arg;
		if (births_is_mark(arg))
			return 0;
		argp_error(state, "--since: which mark?");
		return EINVAL;
	case KEY_WHY:
		return parse_address(arg, state, &wanted->why);
	case KEY_STOP:
		wanted->with_stop = true;
		return 0;
	case ARGP_KEY_END:
		return check(wanted, state) ?: subject_parse(&wanted->subject, key, arg, state);
	default:
		return subject_parse(&wanted->subject, key, arg, state);
	}
}

static const struct argp_child children[] = {
	{ .argp = &pid_argp }, { .argp = &listing_argp }, { .argp = &common_argp }, { 0 }
};
const struct argp cmd_holds_argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[PID | FILE.dhat]",
	.doc = "Who holds the live blocks of a process that runs, and which are lost: nothing in "
	       "the "
	       "process points to them. Its memory is read from outside, several times, a second "
	       "apart; it is not stopped. Rows are lines of source (or stacks, functions … by "
	       "--by): "
	       "lost ones first, then by size.",
	.children = children,
};

/* ---- which rows ----------------------------------------------------------------------------- */

static bool is_number(const char *text, size_t *ret)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	*ret = number;
	return *text >= '0' && *text <= '9' && !*end;
}

/* number: from 1 on, in the whole list. */
static bool is_wanted(const struct holds_options *wanted, const struct dhat_rendering *table,
		      const struct dhat_holder *holder, size_t number)
{
	_cleanup_free_ char *name = NULL;
	size_t asked;

	if (!holder->live.blocks || (wanted->is_lost_only && !holder->lost.blocks))
		return false;
	if (!wanted->site)
		return true;
	if (is_number(wanted->site, &asked))
		return asked == number;
	name = dhat_holder_name(table, holder->point);
	return name && strcasestr(name, wanted->site);
}

/* ---- for people ----------------------------------------------------------------------------- */

static void print_line(struct screen *screen, enum mark mark, const char *text)
{
	fprintf(screen->file, "%6s", "");
	screen_mark(screen, mark);
	screen_paragraph(screen, 8, text);
	screen_mark(screen, MARK_NONE);
}

/* Chains that hold less than a hundredth of a row are, as often as not, words that were never
 * written. */
static bool is_small(const struct dhat_holder *holder, const struct dhat_holder_chain *chain)
{
	return chain->held.blocks * 100 < holder->live.blocks;
}

static void print_chains(struct screen *screen, const struct dhat_rendering *table,
			 const struct dhat_holders *holders, const struct dhat_holder *holder,
			 bool has_all)
{
	uint64_t others = holder->held.blocks + holder->unknown.blocks;

	for (size_t i = 0; i < holder->chain_count; i++) {
		const struct dhat_holder_chain *chain = &holder->chains[i];
		_cleanup_free_ char *text = NULL;

		if (i && !has_all && is_small(holder, chain))
			continue;
		text = dhat_holder_chain_text(table, holders, holder, chain);
		print_line(screen, MARK_NONE, text ? text : "?");
		others -= chain->held.blocks < others ? chain->held.blocks : others;
	}
	if (others) {
		char text[96];

		snprintf(text, sizeof(text), "%s held in other ways",
			 view_counted(others, "block"));
		print_line(screen, MARK_NONE, text);
	}
}

#define CYCLES_SHOWN 3 /* of a row */

static void print_cycles(struct screen *screen, const struct dhat_rendering *table,
			 const struct dhat_holders *holders, const struct dhat_holder *holder,
			 bool has_all)
{
	const char *cure = NULL;
	size_t shown = 0;

	for (size_t i = 0; i < holders->cycle_count && (has_all || shown < CYCLES_SHOWN); i++) {
		const struct dhat_holder_cycle *cycle = &holders->cycles[i];
		_cleanup_free_ char *text = NULL;

		if (!dhat_holder_is_in_cycle(holder, cycle))
			continue;
		text = dhat_holder_cycle_text(table, holders, cycle);
		print_line(screen, MARK_NONE, text ? text : "?");
		cure = cure ? cure : dhat_holder_cure(table, cycle);
		shown++;
	}
	if (cure)
		print_line(screen, MARK_DIM, cure);
}

/* Less is the tag of a pointer, as often as not, or a head that somebody put in front. Where
 * pointers lead to places that differ, what matters are buffers. */
#define INSIDE_BYTES 32
#define BUFFER_BYTES 1024

static bool is_part_told(const struct dhat_holder *holder)
{
	if (holder->from_inside.bytes * 100 <= holder->held.bytes)
		return false;
	return holder->into.is_known
		       ? holder->into.at >= INSIDE_BYTES
		       : holder->from_inside.bytes >= holder->from_inside.blocks * BUFFER_BYTES;
}

static void print_sums(struct screen *screen, const struct dhat_holder *holder)
{
	char text[256];

	if (is_part_told(holder)) {
		_cleanup_free_ char *inside = dhat_holder_inside_text(holder);

		print_line(screen, MARK_NONE, inside ? inside : "?");
	}

	if (holder->unseen.blocks) {
		snprintf(text, sizeof(text),
			 "%s: no holder was seen, which does not say that there is none",
			 view_counted(holder->unseen.blocks, "block"));
		print_line(screen, MARK_NONE, text);
	}
	if (holder->withdrawn_blocks) {
		snprintf(text, sizeof(text),
			 "%s of these were called lost before, and were freed or seen to be held "
			 "since",
			 view_count(holder->withdrawn_blocks));
		print_line(screen, MARK_NONE, text);
	}
	if (holder->retained.bytes > holder->held.bytes) {
		snprintf(text, sizeof(text), "with all that only these hold: %s in %s",
			 view_size(holder->retained.bytes),
			 view_counted(holder->retained.blocks, "block"));
		print_line(screen, MARK_DIM, text);
	}
}

static void print_row(struct screen *screen, const struct holds_options *wanted,
		      const struct dhat_rendering *table, const struct dhat_holders *holders,
		      const struct dhat_holder *holder, size_t number)
{
	_cleanup_free_ char *name = dhat_holder_typed_name(table, holders, holder->point);
	char text[4096];

	fprintf(screen->file, "\n%4zu. ", number);
	snprintf(text, sizeof(text), "%s in %s from %s", view_size(holder->live.bytes),
		 view_counted(holder->live.blocks, "block"), name ? name : "?");
	screen_paragraph(screen, 6, text);
	if (holder->lost.blocks) {
		_cleanup_free_ char *lost = dhat_holder_lost_text(holder);

		print_line(screen, MARK_BAD, lost ? lost : "lost");
	}
	print_cycles(screen, table, holders, holder, wanted->site != NULL);
	print_chains(screen, table, holders, holder, wanted->site != NULL);
	print_sums(screen, holder);
}

static void print_headline(struct screen *screen, const Dhat__Holds *holds)
{
	_cleanup_free_ char *headline = dhat_holders_headline(holds);

	fputc('\n', screen->file);
	screen_mark(screen, MARK_BOLD);
	screen_paragraph(screen, 0, headline ? headline : "");
	screen_mark(screen, MARK_NONE);
}

/* ---- one address ---- */

static int print_why(const struct dhat_rendering *table, const struct dhat_holders *holders)
{
	const Dhat__HoldsWhy *why = table->snapshot->end->holds->why;
	_cleanup_free_ char *text = dhat_holder_why_text(table, holders, why);
	struct screen screen;

	screen_init(&screen, stdout);
	view_targets(&screen, "", table->snapshot);
	fputc('\n', stdout);
	screen_paragraph(&screen, 0, text ? text : "?");
	for (size_t i = 0; i < why->n_steps; i++) {
		_cleanup_free_ char *step = dhat_holder_step_text(table, holders, why->steps[i]);

		print_line(&screen, MARK_NONE, step ? step : "?");
	}
	if (why->is_cut)
		print_line(&screen, MARK_NONE, "and more");
	if (*why->root) {
		char root[1024];

		snprintf(root, sizeof(root), "%s%s", why->root, why->in_root);
		print_line(&screen, MARK_BOLD, root);
	}
	fputc('\n', stdout);
	screen_mark(&screen, MARK_DIM);
	screen_paragraph(&screen, 0, dhat_holders_caveat);
	screen_mark(&screen, MARK_NONE);
	return 0;
}

static int print(const struct holds_options *wanted, const struct dhat_rendering *table,
		 const struct dhat_holders *holders)
{
	size_t listed = 0, more = 0;
	struct screen screen;

	screen_init(&screen, stdout);
	view_targets(&screen, "", table->snapshot);
	print_headline(&screen, table->snapshot->end->holds);
	for (size_t i = 0; i < holders->count; i++) {
		if (!is_wanted(wanted, table, &holders->list[i], i + 1))
			continue;
		if (!wanted->site && listed >= wanted->list.top) {
			more++;
			continue;
		}
		print_row(&screen, wanted, table, holders, &holders->list[i], i + 1);
		listed++;
	}
	if (more)
		printf("\n%zu more (--top)\n", more);
	if (wanted->site && !listed)
		printf("\nNo row is called %s.\n", wanted->site);
	fputc('\n', stdout);
	screen_mark(&screen, MARK_DIM);
	screen_paragraph(&screen, 0, dhat_holders_caveat);
	screen_mark(&screen, MARK_NONE);
	return 0;
}

/* ---- for programs --------------------------------------------------------------------------- */

static void put_sum(struct json_object *object, const char *name, const struct dhat_holding *sum)
{
	char key[64];

	snprintf(key, sizeof(key), "%s_bytes", name);
	json_object_object_add(object, key, json_object_new_uint64(sum->bytes));
	snprintf(key, sizeof(key), "%s_blocks", name);
	json_object_object_add(object, key, json_object_new_uint64(sum->blocks));
}

static struct json_object *name_as_json(const struct dhat_rendering *table,
					const struct dhat_rendered_point *point)
{
	_cleanup_free_ char *name = dhat_holder_name(table, point);

	return dhat_json_string(name ? name : "");
}

/* null: not known. */
static struct json_object *place_as_json(const struct dhat_holder_place *place)
{
	struct json_object *object = place->is_known ? json_object_new_object() : NULL;

	if (!object)
		return NULL;
	json_object_object_add(object, "at", json_object_new_uint64(place->at));
	json_object_object_add(object, "of", place->of ? json_object_new_uint64(place->of) : NULL);
	if (place->member)
		json_object_object_add(object, "member", dhat_json_string(place->member));
	return object;
}

static struct json_object *places_as_json(const struct dhat_holder_link *links, size_t count)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(list, place_as_json(&links[i].place));
	return list;
}

static struct json_object *links_as_json(const struct dhat_rendering *table,
					 const struct dhat_holder_link *links, size_t count)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(list, name_as_json(table, links[i].row));
	return list;
}

static struct json_object *cycle_as_json(const struct dhat_rendering *table,
					 const struct dhat_holder_cycle *cycle)
{
	const char *cure = dhat_holder_cure(table, cycle);
	struct json_object *object = json_object_new_object();

	put_sum(object, "lost", &cycle->lost);
	json_object_object_add(object, "links",
			       links_as_json(table, cycle->links, cycle->link_count));
	json_object_object_add(object, "places", places_as_json(cycle->links, cycle->link_count));
	json_object_object_add(object, "is_cut", json_object_new_boolean(cycle->is_cut));
	json_object_object_add(object, "length", json_object_new_int64(cycle->length));
	json_object_object_add(object, "cure", cure ? dhat_json_string(cure) : NULL);
	return object;
}

static struct json_object *chain_as_json(const struct dhat_rendering *table,
					 const struct dhat_holder_chain *chain)
{
	struct json_object *object = json_object_new_object();

	put_sum(object, "held", &chain->held);
	json_object_object_add(object, "is_unknown", json_object_new_boolean(chain->is_unknown));
	json_object_object_add(object, "is_past_end", json_object_new_boolean(chain->is_past_end));
	json_object_object_add(object, "is_tagged", json_object_new_boolean(chain->is_tagged));
	json_object_object_add(object, "links",
			       links_as_json(table, chain->links, chain->link_count));
	json_object_object_add(object, "places", places_as_json(chain->links, chain->link_count));
	json_object_object_add(object, "self", place_as_json(&chain->self));
	json_object_object_add(object, "in_root", dhat_json_string(chain->in_root));
	json_object_object_add(object, "root",
			       chain->root ? dhat_json_string(chain->root->name) : NULL);
	json_object_object_add(object, "root_kind",
			       chain->root ? dhat_json_string(chain->root->kind) : NULL);
	json_object_object_add(object, "root_words", json_object_new_uint64(chain->root_words));
	return object;
}

static struct json_object *row_as_json(const struct dhat_rendering *table,
				       const struct dhat_holder *holder)
{
	struct json_object *object = json_object_new_object(), *chains = json_object_new_array();
	const struct {
		const char *name;
		const struct dhat_holding *sum;
	} sums[] = {
		{ "live", &holder->live },	     { "held", &holder->held },
		{ "unknown", &holder->unknown },     { "lost", &holder->lost },
		{ "unseen", &holder->unseen },	     { "past_end", &holder->past_end },
		{ "in_cycles", &holder->in_cycles }, { "under_lost", &holder->under_lost },
		{ "retained", &holder->retained },   { "from_inside", &holder->from_inside },
	};

	json_object_object_add(object, "name", name_as_json(table, holder->point));
	json_object_object_add(object, "type", dhat_json_string(holder->type));
	json_object_object_add(object, "into", place_as_json(&holder->into));
	for (size_t i = 0; i < ARRAY_SIZE(sums); i++)
		put_sum(object, sums[i].name, sums[i].sum);
	json_object_object_add(object, "withdrawn_blocks",
			       json_object_new_uint64(holder->withdrawn_blocks));
	for (size_t i = 0; i < holder->chain_count; i++)
		json_object_array_add(chains, chain_as_json(table, &holder->chains[i]));
	json_object_object_add(object, "chains", chains);
	return object;
}

static int print_json(const struct holds_options *wanted, const struct dhat_rendering *table,
		      const struct dhat_holders *holders)
{
	struct json_object *object = json_object_new_object(), *rows = json_object_new_array();
	struct json_object *cycles = json_object_new_array();
	size_t listed = 0;
	int r;

	json_object_object_add(object, "holds",
			       dhat_json_message(&table->snapshot->end->holds->base));
	for (size_t i = 0; i < holders->count && listed < wanted->list.top; i++) {
		if (!is_wanted(wanted, table, &holders->list[i], i + 1))
			continue;
		json_object_array_add(rows, row_as_json(table, &holders->list[i]));
		listed++;
	}
	json_object_object_add(object, "rows", rows);
	for (size_t i = 0; i < holders->cycle_count; i++)
		json_object_array_add(cycles, cycle_as_json(table, &holders->cycles[i]));
	json_object_object_add(object, "cycles", cycles);
	r = dhat_json_put(stdout, object);
	fputc('\n', stdout);
	json_object_put(object);
	return r;
}

/* ---- both ----------------------------------------------------------------------------------- */

static int report(const struct holds_options *wanted, const struct dhat_snapshot *snapshot)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *table = NULL;
	_cleanup_(dhat_holders_deinit) struct dhat_holders holders = { 0 };
	const struct dhat_table_options style = { .style = wanted->list.style,
						  .depth = wanted->list.depth };
	int r = dhat_table_new(snapshot, &style, &table);

	if (r == 0)
		r = dhat_holders_make(table, &holders);
	if (r)
		return r;
	if (wanted->common.as_json)
		return print_json(wanted, table, &holders);
	return wanted->why && snapshot->end->holds->why ? print_why(table, &holders)
							: print(wanted, table, &holders);
}

static int fetch(const struct holds_options *wanted, struct dhat_snapshot **ret,
		 struct dhat_error *err)
{
	Dhat__SnapshotRequest asked = DHAT__SNAPSHOT_REQUEST__INIT;
	int r = 0;

	if (wanted->subject.path)
		return input_read(wanted->subject.path, ret, err);
	if (!wanted->subject.pid)
		r = choice_check(wanted->common.socket_path, "holds", err);
	asked.pid = wanted->subject.pid;
	asked.with_holds = true;
	asked.why_address = wanted->why;
	if (wanted->since)
		asked.holds_since = without_qualifiers(wanted->since);
	asked.with_stop = wanted->with_stop;
	return r < 0 ? r : client_snapshot(wanted->common.socket_path, &asked, ret, err);
}

static int run(const struct holds_options *wanted, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	int r = fetch(wanted, &snapshot, err);

	if (r < 0)
		return r;
	if (!snapshot->end->holds)
		return wanted->subject.path
			       ? dhat_error_set(
					 err, ENODATA, DHAT_EXIT_BAD_FILE,
					 "%s does not say who holds its blocks: ask while the "
					 "process runs, by `dhatctl holds PID'",
					 wanted->subject.path)
			       : dhat_error_set(
					 err, EPROTO, DHAT_EXIT_PROTOCOL,
					 "this dhatd does not look at who holds blocks: use the "
					 "one that came with this dhatctl");
	r = report(wanted, snapshot);
	return r < 0 ? dhat_error_errno(err, -r, "cannot print who holds what") : 0;
}

int cmd_holds(int argc, char **argv, struct dhat_error *err)
{
	struct holds_options wanted = { .list = listing_default };
	int r;

	wanted.list.style.by = DHAT_BY_LINE;
	r = command_parse(&cmd_holds_argp, argc, argv, &wanted, &wanted.common, err);
	if (r == 0 && !wanted.common.is_done)
		r = run(&wanted, err);
	return r;
}
