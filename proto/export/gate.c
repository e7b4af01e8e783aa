#include "gate.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/output.h"
#include "proto/base/say.h"
#include "proto/import/import.h"
#include "proto/profile/baseline.h"
#include "proto/profile/filter_options.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct dhat_output *, dhat_output_free)

/* ---- options ------------------------------------------------------------------------------- */

enum { KEY_BASELINE = 0x500, KEY_WRITE_BASELINE, KEY_ALLOW, KEY_JUNIT, KEY_GITHUB };

static const struct argp_option options[] = {
	{ "baseline", KEY_BASELINE, "FILE", 0,
	  "What `baseline' and `growth' refer to: a file that was written so, a .dhat file, "
	  "DHAT JSON, or JSON lines",
	  2 },
	{ "write-baseline", KEY_WRITE_BASELINE, "FILE", 0,
	  "Write this profile's figures by names, to be a later one's --baseline", 2 },
	{ "allow", KEY_ALLOW, "VERDICT", 0,
	  "Judge profiles that are partial, or inexact (and partial), too; else they fail", 2 },
	{ "junit", KEY_JUNIT, "FILE", 0, "Write the results as JUnit XML", 2 },
	{ "github", KEY_GITHUB, 0, 0, "Print annotations for GitHub's workflows, too", 2 },
	{ 0 },
};

static int parse_allow(struct argp_state *state, struct dhat_gate *gate, const char *arg)
{
	gate->may_be_inexact |= !strcmp(arg, dhat_verdict_word(DHAT_INEXACT));
	gate->may_be_partial |=
		gate->may_be_inexact || !strcmp(arg, dhat_verdict_word(DHAT_PARTIAL));
	if (!strcmp(arg, dhat_verdict_word(DHAT_INEXACT)) ||
	    !strcmp(arg, dhat_verdict_word(DHAT_PARTIAL)))
		return 0;
	argp_error(state, "--allow %s: there are partial and inexact", arg);
	return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct dhat_gate *gate = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &gate->filter;
		return 0;
	case KEY_BASELINE:
		gate->baseline_path = arg;
		break;
	case KEY_WRITE_BASELINE:
		gate->new_baseline_path = arg;
		break;
	case KEY_ALLOW:
		gate->was_asked = true;
		return parse_allow(state, gate, arg);
	case KEY_JUNIT:
		gate->junit_path = arg;
		break;
	case KEY_GITHUB:
		gate->is_github = true;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	gate->was_asked = true;
	return 0;
}

static const struct argp_child children[] = { { .argp = &dhat_filter_argp }, { 0 } };
const struct argp dhat_gate_argp = { .options = options,
				     .parser = parse_option,
				     .children = children };

void dhat_gate_deinit(struct dhat_gate *gate)
{
	for (size_t i = 0; i < gate->judgement_count; i++)
		dhat_judgement_free(gate->judgements[i]);
	for (size_t i = 0; i < gate->count; i++)
		dhat_assertion_deinit(&gate->assertions[i]);
	free(gate->judgements);
	free(gate->assertions);
	dhat_digest_free(gate->baseline);
	dhat_filter_deinit(&gate->filter);
	*gate = (struct dhat_gate){ 0 };
}

int dhat_gate_add(struct dhat_gate *gate, const char *text, const char *program)
{
	struct dhat_assertion_fault fault = { 0 };
	_cleanup_free_ char *caret = NULL;
	int r;

	if (array_make_room(&gate->assertions, &gate->room, gate->count))
		return -ENOMEM;
	r = dhat_assertion_parse(text, &gate->assertions[gate->count], &fault);
	if (r == 0)
		gate->count++;
	if (r != -EINVAL)
		return r;
	caret = dhat_assertion_caret(text, &fault, 0);
	dhat_say(program, "%s", text);
	dhat_say(program, "%s", caret ?: fault.message);
	return r;
}

bool dhat_gate_is_asked(const struct dhat_gate *gate)
{
	return gate->count || gate->was_asked || gate->filter.count;
}

/* A stack that is not listed would pass for one that holds nothing. */
static int check_lists_all(const struct dhat_snapshot *snapshot, const char *what,
			   struct dhat_error *err)
{
	if (dhat_snapshot_lists_all(snapshot))
		return 0;
	return dhat_error_set(err, ENODATA, DHAT_EXIT_BAD_FILE,
			      "%s lists some of the stacks only, and conditions are judged on all: "
			      "take a .dhat file, or `dhatctl stats --json --sort total "
			      "--top 1000000'",
			      what);
}

/* ---- before -------------------------------------------------------------------------------- */

static int read_dhat(struct dhat_gate *gate, FILE *file, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	int r = dhat_import(file, gate->baseline_path, &snapshot, err);

	if (r < 0)
		return r;
	r = check_lists_all(snapshot, gate->baseline_path, err);
	if (r < 0)
		return r;
	r = dhat_digest_of(snapshot, &gate->filter, &gate->baseline);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot read %s", gate->baseline_path);
	/* it is looked at by its names only from here on */
	for (size_t i = 0; i < gate->baseline->row_count; i++)
		gate->baseline->rows[i].point = NULL;
	dhat_rendering_free(take_ptr(gate->baseline->table));
	return 0;
}

static int read_baseline(struct dhat_gate *gate, struct dhat_error *err)
{
	_cleanup_fclose_ FILE *file = fopen(gate->baseline_path, "re");

	if (!file)
		return dhat_error_set(err, errno, DHAT_EXIT_BAD_FILE, "cannot read %s: %s",
				      gate->baseline_path, strerror(errno));
	if (dhat_import_knows(file))
		return read_dhat(gate, file, err);
	return dhat_baseline_read(file, gate->baseline_path, &gate->baseline, err);
}

static bool is_allowed(const struct dhat_gate *gate, enum dhat_verdict verdict)
{
	return verdict <= DHAT_SAMPLED || gate->may_be_inexact ||
	       (verdict == DHAT_PARTIAL && gate->may_be_partial);
}

int dhat_gate_prepare(struct dhat_gate *gate, struct dhat_error *err)
{
	int r = 0;

	if (!gate->count && !gate->new_baseline_path)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "which condition? such as 'live.bytes == 0'");
	for (size_t i = 0; i < gate->count; i++)
		if (!gate->baseline_path && dhat_assertion_needs_baseline(&gate->assertions[i]))
			return dhat_error_set(
				err, EINVAL, DHAT_EXIT_USAGE,
				"%.300s: against which baseline? give --baseline FILE",
				gate->assertions[i].text);
	if (gate->baseline_path)
		r = read_baseline(gate, err);
	if (r == 0 && gate->baseline && !is_allowed(gate, gate->baseline->verdict))
		r = dhat_error_set(err, EINVAL, DHAT_EXIT_INEXACT,
				   "the numbers in %s are %s (--allow)", gate->baseline_path,
				   dhat_verdict_word(gate->baseline->verdict));
	if (r == 0 && gate->junit_path)
		r = dhat_output_try(gate->junit_path, err);
	if (r == 0 && gate->new_baseline_path)
		r = dhat_output_try(gate->new_baseline_path, err);
	return r;
}

/* ---- judging ------------------------------------------------------------------------------- */

int dhat_gate_judge(struct dhat_gate *gate, struct dhat_snapshot *snapshot_, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = snapshot_;
	enum dhat_verdict worst = gate->may_be_inexact	 ? DHAT_NOT_KNOWN
				  : gate->may_be_partial ? DHAT_PARTIAL
							 : DHAT_SAMPLED;
	int r = check_lists_all(snapshot, "the profile", err);

	if (r < 0)
		return r;
	r = array_make_room(&gate->judgements, &gate->judgement_room, gate->judgement_count);
	if (r == 0)
		r = dhat_judgement_new(take_ptr(snapshot), &gate->filter, gate->assertions,
				       gate->count, gate->baseline, worst,
				       &gate->judgements[gate->judgement_count]);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot judge the profile");
	gate->judgement_count++;
	return 0;
}

/* ---- reports ------------------------------------------------------------------------------- */

static int print_json(const struct dhat_gate *gate, FILE *file)
{
	struct json_object *list = json_object_new_array();
	int r;

	for (size_t i = 0; i < gate->judgement_count; i++)
		json_object_array_add(list, judged_as_json(gate->judgements[i]));
	r = dhat_json_put(file, list);
	fputc('\n', file);
	json_object_put(list);
	return r;
}

/* Annotations show below the repository: where a workflow says it is, else here. */
static void print_github(const struct dhat_gate *gate, FILE *file)
{
	const char *workspace = getenv("GITHUB_WORKSPACE");
	_cleanup_free_ char *here = workspace && *workspace ? strdup(workspace) : getcwd(NULL, 0);

	for (size_t i = 0; i < gate->judgement_count; i++)
		judged_github(file, gate->judgements[i], here);
}

/* Figures of another program prove nothing; but a program may well have got another name. */
static void note_other_program(const struct dhat_gate *gate, struct screen *screen,
			       const struct dhat_judgement *judgement)
{
	_cleanup_free_ char *text = NULL;

	if (!gate->baseline || !strcmp(gate->baseline->program, judgement->digest->program) ||
	    asprintf(&text, "%s is of another program, %s", gate->baseline_path,
		     gate->baseline->program) < 0)
		return;
	fputs("  Note: ", screen->file);
	screen_paragraph(screen, 8, text);
}

static void print_text(const struct dhat_gate *gate, struct screen *screen)
{
	for (size_t i = 0; i < gate->judgement_count; i++) {
		if (!gate->count && gate->judgements[i]->is_trusted)
			continue;
		judged_print(screen, gate->judgements[i]);
		note_other_program(gate, screen, gate->judgements[i]);
	}
}

static int print(const struct dhat_gate *gate, FILE *file, bool as_json, struct dhat_error *err)
{
	struct screen screen;
	int r = 0;

	screen_init(&screen, file);
	if (as_json)
		r = print_json(gate, file);
	else
		print_text(gate, &screen);
	if (gate->is_github) /* JSON has the standard output for itself */
		print_github(gate, as_json ? stderr : file);
	return r < 0 ? dhat_error_errno(err, -r, "cannot print the result") : 0;
}

static int write_junit(const struct dhat_gate *gate, struct dhat_error *err)
{
	_cleanup_(dhat_output_free_ptr) struct dhat_output *output = NULL;
	int r = dhat_output_new(gate->junit_path, &output, err);

	if (r < 0)
		return r;
	r = judged_junit(dhat_output_stream(output), gate->judgements, gate->judgement_count);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot write %s", gate->junit_path);
	return dhat_output_commit(output, err);
}

static int write_baseline(const struct dhat_gate *gate, struct dhat_error *err)
{
	_cleanup_(dhat_output_free_ptr) struct dhat_output *output = NULL;
	int r;

	if (gate->judgement_count != 1)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s: a baseline is of one process, and there were %zu",
				      gate->new_baseline_path, gate->judgement_count);
	r = dhat_output_new(gate->new_baseline_path, &output, err);
	if (r == 0)
		r = dhat_baseline_write(gate->judgements[0]->digest, dhat_output_stream(output),
					err);
	return r < 0 ? r : dhat_output_commit(output, err);
}

static void tell_baseline(const struct dhat_gate *gate, FILE *file)
{
	size_t count = gate->judgements[0]->digest->row_count;
	struct screen screen;

	screen_init(&screen, file);
	fprintf(file, "%zu stack%s of ", count, count == 1 ? "" : "s");
	screen_text(&screen, gate->judgements[0]->digest->program);
	fputs(" written to ", file);
	screen_text(&screen, gate->new_baseline_path);
	fputc('\n', file);
}

static enum dhat_exit code_of(const struct dhat_gate *gate)
{
	enum dhat_exit code = DHAT_EXIT_OK;

	for (size_t i = 0; i < gate->judgement_count; i++) {
		if (!gate->judgements[i]->is_trusted ||
		    dhat_judgement_undecided(gate->judgements[i]))
			return DHAT_EXIT_INEXACT;
		if (dhat_judgement_failures(gate->judgements[i]))
			code = DHAT_EXIT_ASSERTION;
	}
	return code;
}

/* One more failure; the first is handed on. Returns that. */
static int note_failure(int first, int r, const struct dhat_error *why, const char *program,
			struct dhat_error *err)
{
	if (r < 0 && first == 0)
		return dhat_error_set(err, -r, why->code, "%s", why->message);
	if (r < 0)
		dhat_say(program, "%s", why->message);
	return first;
}

int dhat_gate_finish(struct dhat_gate *gate, FILE *file, bool as_json, const char *program,
		     enum dhat_exit *ret_code, struct dhat_error *err)
{
	enum dhat_exit code = code_of(gate);
	struct dhat_error why = { 0 };
	int first = print(gate, file, as_json, err), r;

	if (gate->junit_path) {
		r = write_junit(gate, &why);
		first = note_failure(first, r, &why, program, err);
	}
	if (gate->new_baseline_path && code != DHAT_EXIT_INEXACT) {
		why = (struct dhat_error){ 0 };
		r = write_baseline(gate, &why);
		first = note_failure(first, r, &why, program, err);
		if (r == 0 && !as_json && strcmp(gate->new_baseline_path, "-"))
			tell_baseline(gate, file);
	}
	if (first == 0)
		*ret_code = code;
	return first;
}
