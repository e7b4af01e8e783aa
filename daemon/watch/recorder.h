#pragma once
/* recorder: looks at all targets once a second; keeps a profile of one, says so and runs a command
 * when a trigger of its watch fires; keeps, and pushes, one now and then, and at the end; lets go
 * of one that costs too much.
 *
 * A thread of its own; nobody waits for it. A target has a
 * watch, by target_watch(); whose settings are what they were when the target was met, and change
 * when recorder_set() says so.
 */
#include "daemon/lookup/symbolizer.h"
#include "daemon/push/pusher.h"
#include "daemon/target/targets.h"
#include "settings.h"

struct recorder;

struct recorder_options {
	struct targets *targets; /* borrowed, as all else here */
	struct symbolizer *symbolizer;
	struct holds_book *book;
	struct pusher *pusher;
	const char *folder; /* for profiles: made when the first is kept */
	/* told of each step of an end, which may take minutes; may be NULL */
	void (*step)(void *context);
	void *context;
};

int recorder_new(const struct recorder_options *options, struct recorder **ret,
		 struct dhat_error *err);
/* Looks at nothing any more; what has ended until now is still kept, if it is to be. NULL is fine.
 */
void recorder_stop(struct recorder *recorder);
void recorder_free(struct recorder *recorder);

/* From its next turn on watch number i is as list[i] says, and a target is looked at by the watch
 * that target_watch() says then: who changes that does it before, or it counts with the next call.
 * The recorder takes copies. Triggers that stay keep what they know: none fires again. Where they
 * push to are the destinations then (pusher_set()), once each target whose destination ends or is
 * another one has been pushed to the old one a last time. */
int recorder_set(struct recorder *recorder, const struct watch_settings *list, size_t count);
/* A target has ended: any thread, with no lock of the target held. */
void recorder_ended(struct recorder *recorder, struct target *target);
/* For the end of a service, whose profiles would end with it; the recorder has stopped. Keep one of
 * this target, attached to or not, unless one of its end is kept already. */
void recorder_keep_last(struct recorder *recorder, struct target *target);
/* … and push, of those that were attached to when it stopped, what came since their last push: once
 * they are detached from. */
void recorder_push_last(struct recorder *recorder);
/* Keep a profile of each one that is attached to. Any thread. */
void recorder_keep_all(struct recorder *recorder);
