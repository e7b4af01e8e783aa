#include "destination.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/say.h"
#include "proto/base/units.h"
#include "request.h"

#define LOW_PRIORITY 5
#define LOOK_NS 200000000ull /* until an end is noticed */

struct destination {
	struct push_settings identity; /* as it began: url, form and tenant stay */
	struct queue *queue;
	uint64_t first_pause_ns;
	pthread_t thread;
	bool has_thread;
	atomic_bool stop; /* what is under way is to end */

	/* the thread's */
	struct push_settings settings;
	struct push_client *client;
	unsigned failures; /* one after the other; … */
	bool is_barred;	   /* … and the last will not go by itself */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	bool is_ending, is_retry;
	bool is_drop_told;	    /* since something arrived */
	bool is_not_kept_told;	    /* since something could be kept */
	struct push_settings *next; /* NULL: none */
	uint64_t pushed, failed, refused, not_kept;
	uint64_t next_try_ns; /* CLOCK_MONOTONIC */
	char trouble[256];
};

/* ---- what is said -------------------------------------------------------------------------- */

static void tell_trouble(struct destination *destination, const struct push_answer *answer)
{
	bool was_barred = destination->is_barred;

	destination->is_barred = answer->outcome == PUSH_BARRED;
	/* it is in the status; but what somebody has to mend is said when it turns out to be that
	 */
	if (destination->failures > 1 && (was_barred || !destination->is_barred))
		return;
	dhat_say_at(DHAT_LEVEL_WARNING, "dhatd", "cannot push to %s: %s; profiles wait on disk %s",
		    destination->identity.url, answer->text,
		    answer->outcome == PUSH_BARRED ? "until that is mended"
						   : "meanwhile, and it is tried again");
}

static void tell_recovery(struct destination *destination)
{
	struct queue_state state;

	if (!destination->failures)
		return;
	queue_look(destination->queue, &state);
	dhat_say("dhatd", "pushing to %s again; %llu more wait", destination->identity.url,
		 (unsigned long long)state.files);
}

static void tell_refusal(const struct destination *destination, const struct push_answer *answer)
{
	dhat_say_at(DHAT_LEVEL_WARNING, "dhatd",
		    "%s does not take a profile, which is given up: %s", destination->identity.url,
		    answer->text);
}

static void tell_gone(const struct destination *destination, const struct push_answer *answer)
{
	dhat_say_at(DHAT_LEVEL_WARNING, "dhatd", "a profile that waited for %s was removed: %s",
		    destination->identity.url, answer->text);
}

/* ---- one try ------------------------------------------------------------------------------- */

/* Keeps D2. */
static uint64_t pause_of(const struct destination *destination, uint64_t retry_after_ns)
{
	uint64_t pause_ns = destination->first_pause_ns;
	uint32_t chance = 0;

	for (unsigned i = 1; i < destination->failures && pause_ns < PUSH_LONGEST_PAUSE_NS; i++)
		pause_ns *= 2;
	if (pause_ns > PUSH_LONGEST_PAUSE_NS)
		pause_ns = PUSH_LONGEST_PAUSE_NS;
	if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) == sizeof(chance))
		pause_ns = pause_ns - pause_ns / 4 + (pause_ns / 2) / 65536 * (chance % 65536);
	return pause_ns > retry_after_ns ? pause_ns : retry_after_ns;
}

static void fail(struct destination *destination, const struct push_answer *answer)
{
	destination->failures++;
	tell_trouble(destination, answer);
	pthread_mutex_lock(&destination->lock);
	destination->failed++;
	destination->next_try_ns =
		clock_now_ns(CLOCK_MONOTONIC) + pause_of(destination, answer->retry_after_ns);
	snprintf(destination->trouble, sizeof(destination->trouble), "%s", answer->text);
	pthread_mutex_unlock(&destination->lock);
}

/* It has an answer, whatever that is. */
static void settle(struct destination *destination, const struct push_answer *answer)
{
	tell_recovery(destination);
	destination->failures = 0;
	destination->is_barred = false;
	pthread_mutex_lock(&destination->lock);
	if (answer->outcome == PUSH_TAKEN)
		destination->pushed++;
	else
		destination->refused++;
	destination->next_try_ns = 0;
	destination->trouble[0] = '\0';
	destination->is_drop_told = false;
	pthread_mutex_unlock(&destination->lock);
	if (answer->outcome == PUSH_REFUSED)
		tell_refusal(destination, answer);
}

static bool is_done(const struct push_answer *answer)
{
	return answer->outcome == PUSH_TAKEN || answer->outcome == PUSH_REFUSED ||
	       answer->outcome == PUSH_GONE;
}

/* True: one was there; it goes unless it is to be sent again. It is taken still if it is doubted.
 */
static bool try_one(struct destination *destination, enum queue_end which, char ret_path[PATH_MAX],
		    struct push_answer *ret)
{
	*ret = (struct push_answer){ .outcome = PUSH_LATER };
	if (queue_take(destination->queue, which, ret_path))
		return false;
	if (!destination->client)
		push_client_new(&destination->settings, &destination->stop, &destination->client);
	if (destination->client)
		push_client_send(destination->client, ret_path, ret);
	else
		snprintf(ret->text, sizeof(ret->text), "%s", strerror(ENOMEM));
	if (ret->outcome != PUSH_DOUBTED)
		queue_let_go(destination->queue, is_done(ret));
	return true;
}

static void account_for(struct destination *destination, const struct push_answer *answer)
{
	if (answer->outcome == PUSH_GONE)
		tell_gone(destination, answer);
	else if (is_done(answer))
		settle(destination, answer);
	else if (!atomic_load(&destination->stop))
		fail(destination, answer);
}

/* Another one was taken: if it is not even now, it is its own fault. */
static bool try_oldest_again(struct destination *destination, const char *doubted)
{
	struct push_answer answer;
	char path[PATH_MAX];

	if (!try_one(destination, QUEUE_OLDEST, path, &answer))
		return false;
	if (answer.outcome == PUSH_DOUBTED && strcmp(path, doubted) == 0) {
		queue_let_go(destination->queue, true);
		answer.outcome = PUSH_REFUSED;
	}
	account_for(destination, &answer);
	return is_done(&answer);
}

/* The oldest was answered with a doubt: is it that one, or are it all? The newest will tell, if
 * there is another one. False: nothing was taken. */
static bool resolve_doubt(struct destination *destination, const char *path,
			  const struct push_answer *doubt)
{
	struct push_answer answer = *doubt;
	char newest[PATH_MAX];
	struct queue_state state;

	queue_look(destination->queue, &state);
	if (state.files > 1 && !try_one(destination, QUEUE_NEWEST, newest, &answer))
		answer = *doubt;
	account_for(destination, &answer);
	if (answer.outcome == PUSH_TAKEN)
		return try_oldest_again(destination, path);
	if (is_done(&answer) && !atomic_load(&destination->stop))
		fail(destination, doubt);
	return false;
}

/* False: there is nothing to be sent, or it failed. */
static bool send_one(struct destination *destination)
{
	struct push_answer answer;
	char path[PATH_MAX];

	if (!try_one(destination, QUEUE_OLDEST, path, &answer))
		return false;
	if (answer.outcome == PUSH_DOUBTED)
		return resolve_doubt(destination, path, &answer);
	account_for(destination, &answer);
	return is_done(&answer);
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* With `lock`. A new client reads its files anew. */
static void adopt(struct destination *destination)
{
	struct push_settings *next = take_ptr(destination->next);

	if (!next && !destination->is_retry)
		return;
	push_client_free(take_ptr(destination->client));
	if (next) {
		push_settings_deinit(&destination->settings);
		destination->settings = *next;
		free(next);
		queue_set_max_bytes(destination->queue, destination->settings.spool_bytes);
	}
	destination->is_retry = false;
	destination->next_try_ns = 0;
}

/* With `lock`: until there is something to do. True: to be sent. */
static bool wait_for_work(struct destination *destination)
{
	uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC), until_ns = now_ns + 3600000000000ull;
	struct queue_state state;
	struct timespec until;

	queue_look(destination->queue, &state);
	if (state.files && now_ns >= destination->next_try_ns)
		return true;
	if (state.files)
		until_ns = destination->next_try_ns;
	until = (struct timespec){ until_ns / 1000000000, until_ns % 1000000000 };
	pthread_cond_clockwait(&destination->wake, &destination->lock, CLOCK_MONOTONIC, &until);
	return false;
}

static void *push(void *context)
{
	struct destination *destination = context;

	setpriority(PRIO_PROCESS, syscall(SYS_gettid), LOW_PRIORITY);
	pthread_mutex_lock(&destination->lock);
	while (!destination->is_ending) {
		adopt(destination);
		if (!wait_for_work(destination))
			continue;
		pthread_mutex_unlock(&destination->lock);
		send_one(destination);
		pthread_mutex_lock(&destination->lock);
	}
	pthread_mutex_unlock(&destination->lock);
	while (!atomic_load(&destination->stop) && send_one(destination)) /* once more */
		;
	push_client_free(take_ptr(destination->client));
	return NULL;
}

/* ---- begin and end ------------------------------------------------------------------------- */

static int start(struct destination *destination, const struct destination_options *options,
		 struct dhat_error *err)
{
	int r = push_settings_copy(options->settings, &destination->settings);

	if (r == 0)
		r = push_settings_copy(options->settings, &destination->identity);
	if (r)
		return dhat_error_errno(err, -r, "cannot push profiles");
	r = queue_open(options->folder, destination->settings.spool_bytes, &destination->queue,
		       err);
	if (r)
		return r;
	r = -pthread_create(&destination->thread, NULL, push, destination);
	if (r)
		return dhat_error_errno(err, -r, "cannot start a thread");
	destination->has_thread = true;
	return 0;
}

int destination_new(const struct destination_options *options, struct destination **ret,
		    struct dhat_error *err)
{
	struct destination *destination = calloc(1, sizeof(*destination));
	int r;

	if (!destination)
		return dhat_error_errno(err, ENOMEM, "cannot push profiles");
	destination->first_pause_ns = options->first_pause_ns ?: PUSH_FIRST_PAUSE_NS;
	pthread_mutex_init(&destination->lock, NULL);
	pthread_cond_init(&destination->wake, NULL);
	r = start(destination, options, err);
	if (r) {
		destination_free(destination);
		return r;
	}
	*ret = destination;
	return 0;
}

void destination_ask_to_end(struct destination *destination)
{
	pthread_mutex_lock(&destination->lock);
	destination->is_ending = true;
	pthread_cond_signal(&destination->wake);
	pthread_mutex_unlock(&destination->lock);
}

void destination_end(struct destination *destination, uint64_t deadline_ns)
{
	const struct timespec deadline = { deadline_ns / 1000000000, deadline_ns % 1000000000 };

	if (!destination || !destination->has_thread)
		return;
	destination_ask_to_end(destination);
	if (pthread_clockjoin_np(destination->thread, NULL, CLOCK_MONOTONIC, &deadline)) {
		atomic_store(&destination->stop, true); /* looked at once a second, at least */
		pthread_join(destination->thread, NULL);
	}
	destination->has_thread = false;
}

void destination_free(struct destination *destination)
{
	if (!destination)
		return;
	destination_end(destination, 0);
	queue_close(destination->queue);
	push_settings_deinit(&destination->settings);
	push_settings_deinit(&destination->identity);
	if (destination->next)
		push_settings_deinit(destination->next);
	free(destination->next);
	pthread_cond_destroy(&destination->wake);
	pthread_mutex_destroy(&destination->lock);
	free(destination);
}

const struct push_settings *destination_settings(const struct destination *destination)
{
	return &destination->identity;
}

int destination_tell(struct destination *destination, const struct push_settings *settings)
{
	struct push_settings *next = calloc(1, sizeof(*next)), *before;
	int r = next ? push_settings_copy(settings, next) : -ENOMEM;

	if (r) {
		free(next);
		return r;
	}
	pthread_mutex_lock(&destination->lock);
	before = destination->next;
	destination->next = next;
	pthread_cond_signal(&destination->wake);
	pthread_mutex_unlock(&destination->lock);
	if (before)
		push_settings_deinit(before);
	free(before);
	return 0;
}

void destination_retry(struct destination *destination)
{
	pthread_mutex_lock(&destination->lock);
	destination->is_retry = true;
	pthread_cond_signal(&destination->wake);
	pthread_mutex_unlock(&destination->lock);
}

/* ---- others' side -------------------------------------------------------------------------- */

struct adding {
	const struct push_settings *settings;
	const struct dhat_snapshot *snapshot;
	uint64_t since_unix_ns;
};

static int write_request(void *adding_, FILE *file, struct dhat_error *err)
{
	const struct adding *adding = adding_;

	return request_write(adding->settings, adding->snapshot, adding->since_unix_ns, file, err);
}

/* Of what happens again and again the first time is said. */
static void tell_added(struct destination *destination, int r, bool has_dropped,
		       const struct dhat_error *err)
{
	bool is_new, is_drop_new;

	pthread_mutex_lock(&destination->lock);
	is_new = r && !destination->is_not_kept_told;
	destination->is_not_kept_told = r != 0;
	is_drop_new = has_dropped && !destination->is_drop_told;
	destination->is_drop_told |= has_dropped;
	destination->not_kept += r != 0;
	pthread_cond_signal(&destination->wake);
	pthread_mutex_unlock(&destination->lock);
	if (is_new)
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "profiles for %s are lost: %s",
			    destination->identity.url, *err->message ? err->message : strerror(-r));
	if (is_drop_new)
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd",
			    "what waits for %s has reached its bound: the oldest profiles go",
			    destination->identity.url);
}

int destination_add(struct destination *destination, const struct dhat_snapshot *snapshot,
		    uint64_t since_unix_ns)
{
	struct adding adding = { &destination->identity, snapshot, since_unix_ns };
	struct queue_state before, after;
	struct dhat_error err = { 0 };
	int r;

	queue_look(destination->queue, &before);
	r = queue_add(destination->queue, write_request, &adding, &err);
	queue_look(destination->queue, &after);
	tell_added(destination, r, after.dropped > before.dropped, &err);
	return r;
}

void destination_look(struct destination *destination, struct destination_state *ret)
{
	struct queue_state queue;

	/* what is counted as sent waits no longer, once the queue is looked at under the lock */
	pthread_mutex_lock(&destination->lock);
	queue_look(destination->queue, &queue);
	*ret = (struct destination_state){
		.pushed = destination->pushed,
		.failed = destination->failed,
		.refused = destination->refused,
		.dropped = queue.dropped + destination->not_kept,
		.waiting = queue.files,
		.waiting_bytes = queue.bytes,
		.next_try_ns = destination->next_try_ns,
	};
	memcpy(ret->trouble, destination->trouble, sizeof(ret->trouble));
	pthread_mutex_unlock(&destination->lock);
}
