#include "keeper.h"

#include "command.h"
#include "daemon/push/request.h"
#include "daemon/serve/taken.h"
#include "headline.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/say.h"
#include "proto/base/texts.h"
#include "proto/export/export.h"
#include "proto/profile/history.h"
#include "proto/profile/verdict.h"
#include "proto/wire/words.h"
#include "spool.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

#define BUSY_TRIES 10 /* while others have copies of a profile: see target_copy() */
#define BUSY_INTERVAL_US 200000

struct keeper {
	struct keeper_options options;
	struct commands *commands;
	char **last; /* names of the files of this end: SPOOL_STOP */
};

int keeper_new(const struct keeper_options *options, struct keeper **ret)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	int error;

	if (!keeper)
		return -ENOMEM;
	keeper->options = *options;
	error = commands_new(&keeper->commands);
	if (error) {
		free(keeper);
		return error;
	}
	*ret = keeper;
	return 0;
}

void keeper_free(struct keeper *keeper)
{
	if (!keeper)
		return;
	commands_free(keeper->commands);
	texts_free(keeper->last);
	free(keeper);
}

static int take(struct keeper *keeper, struct target *target, struct dhat_snapshot **ret,
		struct dhat_error *err)
{
	const struct taken_options options = { .book = keeper->options.book };
	int error = -EBUSY;

	for (int i = 0; i < BUSY_TRIES && error == -EBUSY; i++) {
		if (i)
			usleep(BUSY_INTERVAL_US);
		*err = (struct dhat_error){ 0 };
		error = taken_snapshot(target, keeper->options.symbolizer, &options, ret, err);
	}
	return error;
}

/* *ret_path: of the file, "" if there is none. */
static void save(struct keeper *keeper, const struct watch_settings *settings,
		 struct target *target, const struct dhat_snapshot *snapshot, const char *word,
		 char ret_path[PATH_MAX])
{
	char program[DHAT_PROGRAM_CHARS], name[SPOOL_NAME_CHARS];
	struct dhat_error err = { 0 };
	int error;

	target_name(target, program);
	spool_new_name(keeper->options.folder, program, target_pid(target),
		       clock_now_ns(CLOCK_REALTIME), word, name);
	snprintf(ret_path, PATH_MAX, "%s/%s", keeper->options.folder, name);
	error = spool_prepare(keeper->options.folder, &err);
	if (error == 0)
		error = dhat_save(snapshot, ret_path, NULL, NULL, &err);
	if (error) {
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "the profile of %d is not kept: %s",
			    (int)target_pid(target), err.message);
		*ret_path = '\0';
		return;
	}
	if (strcmp(snapshot->head->target->state, DHAT_STATE_ATTACHED) != 0)
		target_set_kept(target);
	if (strcmp(word, SPOOL_STOP) == 0 && texts_add(&keeper->last, name))
		return; /* rather too many than one too few */
	spool_prune(keeper->options.folder, name, settings->keep ?: WATCH_KEEP, keeper->last);
}

static void tell(void *context, const char *text)
{
	dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s", text);
}

void keeper_look_after(struct keeper *keeper)
{
	commands_look_after(keeper->commands, tell, NULL);
}

void keeper_finish(struct keeper *keeper)
{
	commands_finish(keeper->commands, tell, NULL);
}

__attribute__((format(printf, 2, 3))) static void add_setting(char ***settings, const char *format,
							      ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (text)
		texts_add(settings, text);
}

static void run_command(struct keeper *keeper, const char *command,
			const struct dhat_snapshot *snapshot, uint64_t rss_bytes,
			const struct keep_reason *reason, const char *headline, const char *path)
{
	const Dhat__Target *target = snapshot->head->target;
	struct dhat_error err = { 0 };
	char name[DHAT_PROGRAM_CHARS], **settings = NULL;

	dhat_program_name(target->command, target->executable, name);
	add_setting(&settings, "DHATD_EVENT=%s", reason->text);
	add_setting(&settings, "DHATD_HEADLINE=%s", headline);
	add_setting(&settings, "DHATD_PROGRAM=%s", name);
	add_setting(&settings, "DHATD_PID=%" PRIu32, target->pid);
	add_setting(&settings, "DHATD_STATE=%s%s%s", target->state,
		    *target->state_detail ? ": " : "", target->state_detail);
	add_setting(&settings, "DHATD_LIVE_BYTES=%" PRIu64, snapshot->end->totals->live_bytes);
	add_setting(&settings, "DHATD_RSS_BYTES=%" PRIu64, rss_bytes);
	add_setting(&settings, "DHATD_VERDICT=%s",
		    dhat_verdict_word(dhat_verdict_of(snapshot->end->verdict)));
	add_setting(&settings, "DHATD_SNAPSHOT=%s", path);
	keeper_look_after(keeper); /* what has ended makes room */
	if (settings && commands_start(keeper->commands, command, settings, &err))
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s", err.message);
	texts_free(settings);
}

static void keep(struct keeper *keeper, const struct watch_settings *settings,
		 struct target *target, const struct dhat_snapshot *snapshot, uint64_t rss_bytes,
		 const struct keep_reason *reason)
{
	char path[PATH_MAX] = "", headline[HEADLINE_CHARS];

	save(keeper, settings, target, snapshot, reason->word, path);
	if (*path && strcmp(reason->word, SPOOL_STOP) == 0)
		dhat_say("dhatd", "the profile of %d up to now is kept in %s",
			 (int)target_pid(target), path);
	if (!keep_reason_is_news(reason))
		return;
	headline_of(snapshot, rss_bytes, headline);
	dhat_say_at(DHAT_LEVEL_WARNING, "dhatd", "%s: %s%s%s", reason->text, headline,
		    *path ? "; kept in " : "", path);
	if (settings->command)
		run_command(keeper, settings->command, snapshot, rss_bytes, reason, headline, path);
}

/* P7: what cannot even wait. */
static void push(struct keeper *keeper, const struct watch_settings *settings,
		 const struct target *target, struct dhat_snapshot *snapshot, struct since **since)
{
	int r = pusher_add(keeper->options.pusher, &settings->push, snapshot, since);

	if (r)
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd",
			    "the profile of %d cannot be pushed to %s%s: %s",
			    (int)target_pid(target), settings->push.url,
			    request_is_since_last(settings->push.form)
				    ? "; what it has comes with the next one"
				    : ", and is lost",
			    r == -ENOENT ? "there is no such destination, as was said before"
					 : strerror(-r));
}

void keeper_keep(struct keeper *keeper, const struct watch_settings *settings,
		 struct target *target, uint64_t rss_bytes, const struct keep_reason *reason,
		 struct since **since)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	bool is_pushed = settings->push.url && (reason->is_push || keep_reason_is_news(reason));
	struct dhat_error err = { 0 };

	if (take(keeper, target, &snapshot, &err)) {
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s: the profile of %d is not kept: %s",
			    reason->word ? reason->text : "push", (int)target_pid(target),
			    err.message);
		return;
	}
	/* of one that has ended there is nothing to be read any more, but what was read last */
	if (reason->word)
		keep(keeper, settings, target, snapshot,
		     rss_bytes ?: dhat_history_last_rss(snapshot), reason);
	/* last: it changes the profile */
	if (is_pushed)
		push(keeper, settings, target, snapshot, since);
}
