/* One process under observation: its locks, its references, and what is asked of it. */
#include "private.h"

#include "daemon/object/sites/custom.h"
#include "guard.h"
#include "identity.h"
#include "proto/base/cleanup.h"
#include "proto/wire/words.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- small things ---------------------------------------------------------------------------- */

void target_lock(struct target *target)
{
	pthread_mutex_lock(&target->gate);
	pthread_mutex_lock(&target->lock);
	pthread_mutex_unlock(&target->gate);
}

bool target_try_lock(struct target *target)
{
	bool is_locked;

	if (pthread_mutex_trylock(&target->gate))
		return false;
	is_locked = pthread_mutex_trylock(&target->lock) == 0;
	pthread_mutex_unlock(&target->gate);
	return is_locked;
}

void target_unlock(struct target *target)
{
	pthread_mutex_unlock(&target->lock);
}

const char *target_state_name(enum target_state state)
{
	static const char *const names[] = {
		[TARGET_ATTACHED] = DHAT_STATE_ATTACHED, [TARGET_DETACHED] = "detached",
		[TARGET_EXITED] = DHAT_STATE_EXITED,	 [TARGET_KILLED] = DHAT_STATE_KILLED,
		[TARGET_REPLACED] = "replaced",
	};

	return names[state];
}

pid_t target_pid(const struct target *target)
{
	return target->pid;
}

uint64_t target_start_ticks(const struct target *target)
{
	return target->identity.start_ticks;
}

uint32_t target_watch(const struct target *target)
{
	return atomic_load(&target->watch);
}

void target_set_watch(struct target *target, uint32_t watch)
{
	atomic_store(&target->watch, watch);
}

void target_set_kept(struct target *target)
{
	atomic_store(&target->is_kept, true);
}

bool target_is_kept(const struct target *target)
{
	return atomic_load(&target->is_kept);
}

void target_name(const struct target *target, char ret[DHAT_PROGRAM_CHARS])
{
	dhat_program_name(target->identity.command, target->identity.executable, ret);
}

int target_ring_fd(const struct target *target)
{
	return tracer_ring_fd(target->tracer);
}

int target_pidfd(const struct target *target)
{
	return target->pidfd;
}

struct errand *target_errand(struct target *target, enum errand_lane lane)
{
	return &target->errands[lane];
}

enum target_state target_state_of(struct target *target)
{
	enum target_state state;

	target_lock(target);
	state = target->life.state;
	target_unlock(target);
	return state;
}

bool target_follows_exec(const struct target *target)
{
	return target->options.follow_exec || target->options.from_start;
}

void target_follow_options(const struct target *target, pid_t pid, struct target_options *ret)
{
	*ret = target->options;
	ret->watch = target_watch(target);
	ret->from_start = target->options.from_start && pid == target->pid;
	ret->is_followed = true;
	ret->link = uprobe_kind_name(target->kind);
	ret->ring_bytes = target->ring_bytes;
}

void target_add_note(struct target *target, const char *text)
{
	findings_note(&target->findings, text);
}

#define MAX_NOT_FOLLOWED 8

void target_note_not_followed(struct target *forerunner, pid_t pid, const struct dhat_error *why)
{
	char note[sizeof(why->message) + 96];
	bool is_successor = pid == forerunner->pid, is_one_more;

	snprintf(note, sizeof(note), "%s %d was not followed: %s",
		 is_successor ? "the program that has taken its place in process" : "child process",
		 (int)pid, why->message);
	target_lock(forerunner);
	is_one_more = forerunner->not_followed++ < MAX_NOT_FOLLOWED;
	target_unlock(forerunner);
	if (is_one_more)
		findings_note(&forerunner->findings, note);
	if (is_successor) /* of children there may be many */
		target_tell(forerunner, note);
}

/* ---- references --------------------------------------------------------------------------- */

static void target_free(struct target *target)
{
	tracer_free(target->tracer);
	target_forget_objects(target);
	objects_deinit(&target->objects, target->services.tables);
	collector_deinit(&target->collector);
	heap_free(target->heap);
	stacks_free(target->stacks);
	mappings_free(target->mappings);
	identity_deinit(&target->identity);
	customs_free(target->customs);
	texts_free(target->options.custom);
	findings_deinit(&target->findings);
	places_deinit(&target->places);
	copies_deinit(&target->copies);
	guard_free(target->guard);
	if (target->pidfd >= 0)
		close(target->pidfd);
	pthread_mutex_destroy(&target->gate);
	pthread_mutex_destroy(&target->lock);
	pthread_mutex_destroy(&target->map_lock);
	pthread_mutex_destroy(&target->census_lock);
	free(target);
}

struct target *target_ref(struct target *target)
{
	atomic_fetch_add(&target->references, 1);
	return target;
}

void target_unref(struct target *target)
{
	if (target && atomic_fetch_sub(&target->references, 1) == 1)
		target_free(target);
}
