/* dhatctl rss: what resident memory consists of. */
#include <errno.h>

#include "choice.h"
#include "client.h"
#include "command.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "view.h"

struct rss {
	struct common common;
	uint32_t pid;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct rss *rss = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &rss->pid, &rss->common });
		return 0;
	case ARGP_KEY_ARG:
		if (command_takes_pid_word(&rss->pid, arg))
			return 0;
		argp_error(state, "%s: not an option, nor a process id", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &pid_argp },
					      { .argp = &common_argp },
					      { 0 } };
const struct argp cmd_rss_argp = {
	.parser = parse_option,
	.args_doc = "[PID]",
	.doc = "What the resident memory of a target consists of: its live blocks, what the "
	       "allocator adds and keeps, other anonymous memory, files.",
	.children = children,
};

static void print_row(struct screen *screen, const char *name, uint64_t bytes, uint64_t sum,
		      const char *meaning)
{
	char size[DHAT_UNIT_CHARS];

	fprintf(screen->file, "%10s %5.1f%%  ", dhat_format_size(bytes, size),
		sum ? 100.0 * bytes / sum : 100.0);
	screen_column(screen, name, 22);
	fputs("  ", screen->file);
	screen_mark(screen, MARK_DIM);
	screen_paragraph(screen, 43, meaning);
	screen_mark(screen, MARK_NONE);
}

static void print(const Dhat__Rss *table)
{
	struct screen screen;

	screen_init(&screen, stdout);
	if (table->target) { /* an older dhatd does not tell */
		view_target(&screen, table->target);
		fputc('\n', stdout);
	}
	for (size_t i = 0; i < table->n_rows; i++)
		print_row(&screen, table->rows[i]->name, table->rows[i]->bytes, table->rss_bytes,
			  table->rows[i]->meaning);
	screen_mark(&screen, MARK_BOLD);
	print_row(&screen, "resident memory", table->rss_bytes, table->rss_bytes, "RSS");
	if (*table->note) {
		fputs("\nNote: ", stdout);
		screen_paragraph(&screen, 6, table->note);
	}
}

int cmd_rss(int argc, char **argv, struct dhat_error *err)
{
	Dhat__RssRequest body = DHAT__RSS_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;
	Dhat__Response *response;
	struct rss rss = { 0 };
	int r;

	r = command_parse(&cmd_rss_argp, argc, argv, &rss, &rss.common, err);
	if (r < 0 || rss.common.is_done)
		return r;
	if (!rss.pid)
		r = choice_check(rss.common.socket_path, "rss", err);
	if (r < 0)
		return r;
	body.pid = rss.pid;
	request.body_case = DHAT__REQUEST__BODY_RSS;
	request.rss = &body;
	r = client_call(rss.common.socket_path, &request, DHAT__RESPONSE__BODY_RSS, &response, err);
	if (r < 0)
		return r;
	if (rss.common.as_json) {
		struct json_object *object = dhat_json_message(&response->rss->base);

		r = object ? dhat_json_put(stdout, object) : -ENOMEM;
		fputc('\n', stdout);
		json_object_put(object);
	} else {
		print(response->rss);
	}
	dhat__response__free_unpacked(response, NULL);
	return r < 0 ? dhat_error_errno(err, -r, "cannot print the result") : 0;
}
