#include "watches.h"

#include "daemon/target/discover.h"
#include "daemon/target/searches.h"
#include "proto/base/cleanup.h"
#include "proto/base/parallel.h"
#include "proto/base/say.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One beyond the other: during a reload there may be those of before and those of after. */
#define SLOTS (2 * CONFIG_SECTIONS_MAX)

struct slot {			       /* number i + 1 for the recorder and targets */
	struct config_section section; /* owned; without a name: free */
	struct discover *discover;     /* NULL: it was left out */
	const struct watches *watches;
};

struct watches {
	struct watches_options options;
	struct slot slots[SLOTS];
};

static bool is_used(const struct slot *slot)
{
	return *slot->section.name != '\0';
}

static uint32_t number_of(const struct watches *watches, const struct slot *slot)
{
	return 1 + (uint32_t)(slot - watches->slots);
}

static struct slot *find(struct watches *watches, const char *name)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (strcmp(watches->slots[i].section.name, name) == 0)
			return &watches->slots[i];
	return NULL;
}

/* One that was not used before this load: the recorder, and processes whose ends are yet to be
 * told, know the section of before by that number. There is one: SLOTS. */
static struct slot *find_new(struct watches *watches, const bool *was_used)
{
	struct slot *slot = watches->slots;

	while (is_used(slot) || was_used[slot - watches->slots])
		slot++;
	return slot;
}

/* Targets keep borrowed nothing of its options. */
static void empty(struct watches *watches, struct slot *slot)
{
	discover_free(slot->discover);
	if (is_used(slot))
		searches_remove(targets_searches(watches->options.targets), slot->section.name);
	dhatd_options_deinit(&slot->section.options);
	*slot = (struct slot){ 0 };
}

static void on_not_attached(void *context, pid_t pid, const struct dhat_error *err)
{
	const struct slot *slot = context;

	dhat_say_at(DHAT_LEVEL_WARNING, "dhatd", "[watch %s] %s", slot->section.name, err->message);
}

static void step(const struct watches *watches)
{
	if (watches->options.step)
		watches->options.step(watches->options.context);
}

static void on_step(void *context)
{
	const struct slot *slot = context;

	step(slot->watches);
}

/* ---- sections come and go -------------------------------------------------------------------- */

static int put_settings(struct watches *watches)
{
	struct watch_settings list[SLOTS + 1] = { *watches->options.settings };

	for (size_t i = 0; i < SLOTS; i++)
		if (is_used(&watches->slots[i]))
			list[i + 1] = watches->slots[i].section.options.watch.settings;
	return recorder_set(watches->options.recorder, list, SLOTS + 1);
}

/* Takes the section's contents. */
static void fill(struct slot *slot, struct config_section *section)
{
	slot->section = *section;
	section->options = (struct dhatd_options){ 0 };
}

static void begin_search(struct watches *watches, struct slot *slot)
{
	struct dhatd_options *section = &slot->section.options;
	const struct discover_options options = {
		.match = section->match,
		.max_targets = section->max_targets,
		.section = slot->section.name,
		.target = &section->target,
		.failed = on_not_attached,
		.step = on_step,
		.context = slot,
	};
	struct search_state state = { .watch = number_of(watches, slot) };
	struct dhat_error err = { 0 };

	slot->watches = watches;
	if (!section->target.max_memory_bytes)
		section->target.max_memory_bytes = watches->options.max_memory_bytes;
	section->target.watch = number_of(watches, slot);
	if (discover_new(&options, watches->options.targets, &slot->discover, &err) == 0)
		return;
	slot->discover = NULL;
	strcpy(state.name, slot->section.name);
	searches_set(targets_searches(watches->options.targets), &state);
	dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "[watch %s] is left out: %s", slot->section.name,
		    err.message);
}

static bool takes(const struct slot *slot, pid_t pid)
{
	struct dhat_error err = { 0 };
	struct match match = { 0 };
	bool is_meant;

	if (!is_used(slot))
		return false;
	is_meant = match_init(&slot->section.options.match, &match, &err) == 0 &&
		   match_process(&match, pid) == MATCH_YES;
	match_deinit(&match);
	return is_meant;
}

/* Of what a section has brought: it stays with it, goes over to another that means it, too, or is
 * to be let go, which is returned. Keeps W1. */
static bool settle(struct watches *watches, struct target *target)
{
	uint32_t number = target_watch(target);

	/* nobody's any more: a debugger kept it from being let go the last time */
	if (!number || target_state_of(target) != TARGET_ATTACHED ||
	    (number <= SLOTS && takes(&watches->slots[number - 1], target_pid(target))))
		return false;
	for (size_t i = 0; i < SLOTS; i++)
		if (takes(&watches->slots[i], target_pid(target))) {
			target_set_watch(target, i + 1);
			return false;
		}
	if (target_has_exited(
		    target)) /* nothing takes it any more, and its end is yet to be told */
		return false;
	target_set_watch(target, TARGET_NO_WATCH);
	return true;
}

struct letting_go {
	struct targets *targets;
	struct target **list; /* references */
};

static void let_go(void *context, size_t number)
{
	const struct letting_go *letting_go = context;
	struct dhat_error err = { 0 };

	if (targets_detach(letting_go->targets, target_pid(letting_go->list[number]), &err))
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s", err.message);
}

/* Returns when all that is to go has gone: a search that begins then finds it as it is. */
static void settle_all(struct watches *watches)
{
	struct letting_go letting_go = { .targets = watches->options.targets };
	const struct parallel parallel = {
		.one = let_go,
		.context = &letting_go,
		.step = watches->options.step,
		.step_context = watches->options.context,
	};
	size_t count = 0, going = 0;

	if (targets_list(watches->options.targets, &letting_go.list, &count))
		return;
	for (size_t i = 0; i < count; i++)
		if (settle(watches, letting_go.list[i]))
			letting_go.list[going++] = letting_go.list[i];
		else
			target_unref(letting_go.list[i]);
	parallel_run(&parallel, going);
	for (size_t i = 0; i < going; i++)
		target_unref(letting_go.list[i]);
	free(letting_go.list);
}

static bool is_in(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->count; i++)
		if (strcmp(config->sections[i].name, name) == 0)
			return true;
	return false;
}

int watches_load(struct watches *watches, struct dhat_error *err)
{
	_cleanup_(config_deinit) struct config config = { 0 };
	bool is_new[SLOTS] = { false }, was_used[SLOTS];
	int error = config_read(watches->options.path, &config, err);

	if (error) /* keeps W2 */
		return error;
	for (size_t i = 0; i < SLOTS; i++)
		was_used[i] = is_used(&watches->slots[i]);
	for (size_t i = 0; i < SLOTS; i++)
		if (is_used(&watches->slots[i]) && !is_in(&config, watches->slots[i].section.name))
			empty(watches, &watches->slots[i]);
	for (size_t i = 0; i < config.count; i++) {
		struct slot *slot = find(watches, config.sections[i].name);

		if (slot && slot->discover && config_is_same(&slot->section, &config.sections[i]))
			continue;
		if (slot)
			empty(watches, slot);
		else
			slot = find_new(watches, was_used);
		fill(slot, &config.sections[i]);
		is_new[slot - watches->slots] = true;
	}
	step(watches);
	settle_all(watches);
	if (put_settings(watches)) /* after the numbers: recorder_set() */
		return dhat_error_errno(err, ENOMEM, "cannot watch targets");
	for (size_t i = 0; i < SLOTS; i++)
		if (is_new[i])
			begin_search(watches, &watches->slots[i]);
	return 0;
}

/* ---- begin and end --------------------------------------------------------------------------- */

int watches_new(const struct watches_options *options, struct watches **ret, struct dhat_error *err)
{
	struct watches *watches = calloc(1, sizeof(*watches));

	if (!watches)
		return dhat_error_errno(err, ENOMEM, "cannot watch targets");
	watches->options = *options;
	*ret = watches;
	return 0;
}

void watches_stop(struct watches *watches)
{
	for (size_t i = 0; watches && i < SLOTS; i++)
		discover_stop(watches->slots[i].discover);
}

void watches_free(struct watches *watches)
{
	for (size_t i = 0; watches && i < SLOTS; i++)
		empty(watches, &watches->slots[i]);
	free(watches);
}
