#include "pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/serve/message.h"
#include "daemon/serve/own.h"
#include "exposition.h"
#include "index_page.h"
#include "metrics.h"
#include "profile.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/units.h"

#define BINARY "application/octet-stream"
#define HTML "text/html; charset=utf-8"
/* Names are the target's choice: the page runs as one of no origin, which may load nothing. */
#define HTML_POLICY                                                                                \
	"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "              \
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
#define REPORT_POLICY HTML_POLICY "; sandbox allow-scripts"

struct pages {
	struct targets *targets;
	struct symbolizer *symbolizer;
	struct holds_book *book;
	struct pusher *pusher;
	uint64_t started_unix_seconds;
	struct lane profiles, metrics;
	atomic_uint differences;

	/* the last page of metrics; the lane's */
	char *text;
	size_t text_size;
	uint64_t fresh_until_ns; /* CLOCK_MONOTONIC */
	uint64_t last_ns;	 /* how long it took to make it; 0: there is none */
};

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct target_copy *, target_copy_free)

/* ---- what is wrong ------------------------------------------------------------------------- */

static void answer_text(struct http_answer *answer, unsigned status, const char *text)
{
	answer->status = status;
	answer->type = "text/plain; charset=utf-8";
	if (asprintf(&answer->body, "%s\n", text) < 0)
		answer->body = NULL;
	answer->size = answer->body ? strlen(answer->body) : 0;
}

static void answer_error(struct http_answer *answer, int error, const struct dhat_error *err)
{
	unsigned status = 500;

	if (err->code == DHAT_EXIT_NO_PROCESS)
		status = 404;
	else if (err->code == DHAT_EXIT_USAGE)
		status = 400;
	else if (err->code == DHAT_EXIT_NOT_YET || error == -EBUSY || error == -ECANCELED)
		status = 503;
	answer_text(answer, status, *err->message ? err->message : strerror(-error));
}

/* ---- arguments ----------------------------------------------------------------------------- */

/* ?pid=N; 0 where there is none. */
static int read_pid(const struct http_request *request, uint32_t *ret, struct dhat_error *err)
{
	const char *text = http_request_argument(request, "pid");

	*ret = 0;
	if (!text || dhat_parse_pid(text, ret) == 0)
		return 0;
	return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE, "pid is to be a process id");
}

/* ?seconds=N; 0 where there is none. */
static int read_seconds(const struct http_request *request, uint64_t *ret_ns,
			struct dhat_error *err)
{
	const char *text = http_request_argument(request, "seconds");
	uint32_t seconds;

	*ret_ns = 0;
	if (!text || strcmp(text, "0") == 0)
		return 0;
	/* the same digits: a number from 1 on */
	if (dhat_parse_pid(text, &seconds) < 0 || seconds > PAGES_MAX_SECONDS)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "seconds is to be a number from 1 to %d", PAGES_MAX_SECONDS);
	*ret_ns = seconds * 1000000000ull;
	return 0;
}

/* ?debug=1 is a form of Go's for people. */
static int refuse_debug(const struct http_request *request, struct dhat_error *err)
{
	const char *text = http_request_argument(request, "debug");

	if (!text || strcmp(text, "0") == 0)
		return 0;
	return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
			      "debug: there is the binary form only; /report is for people");
}

/* ---- profiles ------------------------------------------------------------------------------ */

/* "demo_service-4711-20261123-145319.dhat": of a program's name what needs no quotes. */
static void name_file(const struct profile_file *file, const char *suffix, struct http_answer *ret)
{
	time_t seconds = file->taken_unix_ns / 1000000000;
	char program[DHAT_PROGRAM_CHARS], when[32] = "";
	struct tm local;
	size_t used = 0;

	for (const char *c = file->program; *c; c++)
		if ((*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') ||
		    (*c >= 'a' && *c <= 'z') || strchr("._-", *c))
			program[used++] = *c;
	program[used] = '\0';
	if (localtime_r(&seconds, &local))
		strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &local);
	snprintf(ret->file_name, sizeof(ret->file_name), "%.40s-%u-%s%s", program, file->pid, when,
		 suffix);
}

static int make(struct pages *pages, struct profile_request *wanted,
		const struct http_request *request, struct profile_file *ret,
		struct dhat_error *err)
{
	const struct profile_services services = { pages->targets, pages->symbolizer, pages->book,
						   &pages->profiles };
	int r;

	wanted->http = request;
	if (!wanted->difference_ns)
		return profile_make(&services, wanted, ret, err);
	if (atomic_fetch_add(&pages->differences, 1) >= PAGES_MAX_DIFFERENCES)
		r = dhat_error_set(err, EBUSY, DHAT_EXIT_FAILED,
				   "%d differences are under way already; try again",
				   PAGES_MAX_DIFFERENCES);
	else
		r = profile_make(&services, wanted, ret, err);
	atomic_fetch_sub(&pages->differences, 1);
	return r;
}

static int answer_profile(struct pages *pages, struct profile_request *wanted, const char *type,
			  const struct http_request *request, struct http_answer *ret,
			  struct dhat_error *err)
{
	struct profile_file file = { 0 };
	int r = read_pid(request, &wanted->pid, err);

	wanted->program = http_request_argument(request, "program");
	if (r == 0)
		r = make(pages, wanted, request, &file, err);
	if (r < 0)
		return r;
	*ret = (struct http_answer){
		.status = 200, .type = type, .body = file.bytes, .size = file.size
	};
	if (strcmp(type, BINARY) == 0)
		name_file(&file, wanted->exporter->suffix, ret);
	return 0;
}

static int answer_pprof(struct pages *pages, enum dhat_metric metric,
			const struct http_request *request, struct http_answer *ret,
			struct dhat_error *err)
{
	struct profile_request wanted = { .exporter = &dhat_pprof_exporter, .metric = metric };
	int r = refuse_debug(request, err);

	if (r == 0)
		r = read_seconds(request, &wanted.difference_ns, err);
	return r ? r : answer_profile(pages, &wanted, BINARY, request, ret, err);
}

static int answer_heap(struct pages *pages, const struct http_request *request,
		       struct http_answer *ret, struct dhat_error *err)
{
	return answer_pprof(pages, DHAT_LIVE_BYTES, request, ret, err);
}

static int answer_allocs(struct pages *pages, const struct http_request *request,
			 struct http_answer *ret, struct dhat_error *err)
{
	return answer_pprof(pages, DHAT_TOTAL_BYTES, request, ret, err);
}

static int answer_snapshot(struct pages *pages, const struct http_request *request,
			   struct http_answer *ret, struct dhat_error *err)
{
	struct profile_request wanted = { .exporter = &dhat_lossless_exporter, .with_ages = true };

	return answer_profile(pages, &wanted, BINARY, request, ret, err);
}

static int answer_report(struct pages *pages, const struct http_request *request,
			 struct http_answer *ret, struct dhat_error *err)
{
	struct profile_request wanted = { .exporter = &dhat_html_exporter, .with_ages = true };
	int r = answer_profile(pages, &wanted, HTML, request, ret, err);

	ret->policy = REPORT_POLICY;
	return r;
}

/* ---- all targets --------------------------------------------------------------------------- */

/* -ECANCELED, or 0. */
typedef int (*for_target)(void *context, struct target *target);

/* One target's failure is no other's: what visit cannot tell of one it says on its page. Only
 * -ECANCELED, nobody waits for it, ends it. */
static int for_each_target(struct pages *pages, const struct http_request *request,
			   for_target visit, void *context)
{
	struct target **list = NULL;
	size_t count = 0;
	int r = targets_list(pages->targets, &list, &count);

	for (size_t i = 0; i < count; i++) {
		if (r == 0)
			r = atomic_load(request->gone) ? -ECANCELED : visit(context, list[i]);
		target_unref(list[i]);
	}
	free(list);
	return r;
}

static int status_of(struct target *target, Dhat__TargetStatus **ret, struct dhat_error *err)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	int r = target_copy(target, false, &copy, err);

	if (r < 0)
		return r;
	*ret = message_target_status(copy);
	return *ret ? 0 : -ENOMEM;
}

static int add_to_index(void *file, struct target *target)
{
	Dhat__TargetStatus *status = NULL;
	char name[DHAT_PROGRAM_CHARS];
	struct dhat_error err = { 0 };
	int r = status_of(target, &status, &err);

	if (r == 0) {
		index_page_add(file, status);
		dhat__target_status__free_unpacked(status, NULL);
		return 0;
	}
	target_name(target, name);
	index_page_add_failure(file, name, target_pid(target),
			       *err.message ? err.message : strerror(-r));
	return 0;
}

static int answer_index(struct pages *pages, const struct http_request *request,
			struct http_answer *ret, struct dhat_error *err)
{
	FILE *file = open_memstream(&ret->body, &ret->size);
	int r;

	if (!file)
		return -ENOMEM;
	index_page_begin(file);
	r = for_each_target(pages, request, add_to_index, file);
	index_page_end(file);
	if (fclose(file))
		r = r ? r : -ENOMEM;
	ret->status = 200;
	ret->type = HTML;
	ret->policy = HTML_POLICY;
	return r;
}

/* The report itself where there is nothing to choose. */
static int answer_root(struct pages *pages, const struct http_request *request,
		       struct http_answer *ret, struct dhat_error *err)
{
	struct target **list = NULL;
	size_t count = 0;
	int r = targets_list(pages->targets, &list, &count);

	for (size_t i = 0; i < count; i++)
		target_unref(list[i]);
	free(list);
	if (r < 0)
		return r;
	return count == 1 || http_request_argument(request, "pid") ||
			       http_request_argument(request, "program")
		       ? answer_report(pages, request, ret, err)
		       : answer_index(pages, request, ret, err);
}

/* ---- metrics ------------------------------------------------------------------------------- */

struct gathering {
	struct pages *pages;
	struct metrics metrics;
	const atomic_bool *gone;
};

static int add_with_stacks(struct gathering *gathering, struct target *target, double cost_percent)
{
	const struct taken_options options = { .without_ages = true, .gone = gathering->gone };
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	int r = taken_snapshot(target, gathering->pages->symbolizer, &options, &snapshot, NULL);

	return r ? r : metrics_add_snapshot(&gathering->metrics, snapshot, cost_percent);
}

/* Without its stacks where they cannot be had: the rest is as good. What has no figures at all is
 * counted. */
static int add_metrics(void *gathering_, struct target *target)
{
	struct gathering *gathering = gathering_;
	bool is_watched = target_state_of(target) == TARGET_ATTACHED;
	Dhat__TargetStatus *status = NULL;
	int r = status_of(target, &status, NULL);

	if (r == 0) {
		r = is_watched ? add_with_stacks(gathering, target, status->cost_percent) : -EBUSY;
		if (r < 0 && r != -ECANCELED)
			r = metrics_add_status(&gathering->metrics, status);
		dhat__target_status__free_unpacked(status, NULL);
	}
	if (r < 0 && r != -ECANCELED)
		metrics_leave_out(&gathering->metrics);
	return r == -ECANCELED ? r : 0;
}

static int write_metrics(struct pages *pages, struct metrics *metrics, char **ret, size_t *ret_size)
{
	_cleanup_free_ struct search_state *searches = NULL;
	struct pusher_state *pushes;
	int r = pusher_look(pages->pusher, &pushes, &metrics->push_count);
	FILE *file;

	r = r ?: targets_list_searches(pages->targets, &searches, &metrics->search_count);
	file = r ? NULL : open_memstream(ret, ret_size);
	metrics->pushes = pushes;
	metrics->searches = searches;
	if (file)
		metrics_write(metrics, file);
	if (!file || fclose(file))
		r = -ENOMEM;
	pusher_states_free(pushes, metrics->push_count);
	return r;
}

/* In the lane. */
static int make_metrics(struct pages *pages, const struct http_request *request)
{
	uint64_t begin_ns = clock_now_ns(CLOCK_MONOTONIC), end_ns, took_ns, rest_ns;
	_cleanup_free_ char *text = NULL;
	struct gathering gathering = {
		.pages = pages,
		.gone = request->gone,
		.metrics = { .now_unix_ns = clock_now_ns(CLOCK_REALTIME),
			     .daemon = { own_cpu_seconds(), own_rss_bytes(), own_heap_bytes(),
					 pages->started_unix_seconds } },
	};
	size_t size = 0;
	int r = for_each_target(pages, request, add_metrics, &gathering);

	if (r == 0)
		r = write_metrics(pages, &gathering.metrics, &text, &size);
	metrics_deinit(&gathering.metrics);
	if (r < 0)
		return r;
	end_ns = clock_now_ns(CLOCK_MONOTONIC);
	took_ns = end_ns - begin_ns;
	rest_ns = (took_ns < pages->last_ns ? took_ns : pages->last_ns) * PAGES_REST;
	pages->last_ns = took_ns;
	free(pages->text);
	pages->text = take_ptr(text);
	pages->text_size = size;
	pages->fresh_until_ns =
		end_ns + (rest_ns < PAGES_REST_MAX_NS ? rest_ns : PAGES_REST_MAX_NS);
	return 0;
}

static int answer_metrics(struct pages *pages, const struct http_request *request,
			  struct http_answer *ret, struct dhat_error *err)
{
	int r = 0;

	if (!lane_enter(&pages->metrics, request->gone))
		return -ECANCELED;
	if (!pages->text || clock_now_ns(CLOCK_MONOTONIC) >= pages->fresh_until_ns)
		r = make_metrics(pages, request);
	if (r == 0) {
		*ret = (struct http_answer){ .status = 200, .type = EXPOSITION_TYPE };
		ret->body = malloc(pages->text_size + 1);
		if (ret->body)
			memcpy(ret->body, pages->text, pages->text_size);
		ret->size = pages->text_size;
		r = ret->body ? 0 : -ENOMEM;
	}
	lane_leave(&pages->metrics);
	return r;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static const struct {
	const char *path;
	int (*answer)(struct pages *pages, const struct http_request *request,
		      struct http_answer *ret, struct dhat_error *err);
} table[] = {
	{ "/", answer_root },
	{ "/report", answer_report },
	{ "/metrics", answer_metrics },
	{ "/debug/pprof/heap", answer_heap },
	{ "/debug/pprof/allocs", answer_allocs },
	{ "/snapshot", answer_snapshot },
};

bool pages_are_well(void *pages_)
{
	struct pages *pages = pages_;

	return targets_take_turns(pages->targets, PAGES_WELL_NS);
}

void pages_answer(void *pages, const struct http_request *request, struct http_answer *ret)
{
	struct dhat_error err = { 0 };
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (strcmp(request->path, table[i].path) != 0)
			continue;
		r = table[i].answer(pages, request, ret, &err);
		if (r == 0)
			return;
		free(ret->body);
		*ret = (struct http_answer){ 0 };
		answer_error(ret, r, &err);
		return;
	}
	answer_text(ret, 404,
		    "there are /, /report, /metrics, /debug/pprof/heap, /debug/pprof/allocs, "
		    "/snapshot and /healthz");
}

int pages_new(struct targets *targets, struct symbolizer *symbolizer, struct holds_book *book,
	      struct pusher *pusher, struct pages **ret)
{
	struct pages *pages = calloc(1, sizeof(*pages));

	if (!pages)
		return -ENOMEM;
	pages->targets = targets;
	pages->symbolizer = symbolizer;
	pages->book = book;
	pages->pusher = pusher;
	pages->started_unix_seconds = clock_now_ns(CLOCK_REALTIME) / 1000000000;
	lane_init(&pages->profiles);
	lane_init(&pages->metrics);
	*ret = pages;
	return 0;
}

void pages_free(struct pages *pages)
{
	if (!pages)
		return;
	lane_deinit(&pages->profiles);
	lane_deinit(&pages->metrics);
	free(pages->text);
	free(pages);
}
