#include "profile.h"

#include <errno.h>

#include "daemon/target/targets.h"
#include "proto/base/cleanup.h"
#include "proto/profile/growth.h"

DEFINE_CLEANUP_PTR(struct target *, target_unref)
DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)
DEFINE_CLEANUP_PTR(struct dhat_difference *, dhat_difference_free)

static int take(const struct profile_services *services, const struct profile_request *request,
		struct target *target, struct dhat_snapshot **ret, struct dhat_error *err)
{
	const struct taken_options options = { .book = services->book,
					       .without_ages = !request->with_ages,
					       .gone = request->gone };
	int r;

	if (!lane_enter(services->lane, request->gone))
		return -ECANCELED;
	r = taken_snapshot(target, services->symbolizer, &options, ret, err);
	lane_leave(services->lane);
	return r;
}

static int subtract(const struct dhat_snapshot *before, const struct dhat_snapshot *after,
		    struct dhat_snapshot **ret)
{
	const struct dhat_table_options whole_stacks = { .style.by = DHAT_BY_STACK };
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *old = NULL, *new = NULL;
	_cleanup_(dhat_difference_free_ptr) struct dhat_difference *difference = NULL;
	int r = dhat_table_new(before, &whole_stacks, &old);

	if (r == 0)
		r = dhat_table_new(after, &whole_stacks, &new);
	if (r == 0)
		r = dhat_difference_new(old, new, &difference);
	return r ? r : dhat_growth_new(difference, DHAT_GROWTH_SIGNED, ret);
}

static int write_file(const struct dhat_snapshot *snapshot, const struct profile_request *request,
		      struct profile_file *ret, struct dhat_error *err)
{
	const struct dhat_export_options options = {
		.metric = request->metric,
		.is_difference = request->difference_ns,
	};
	_cleanup_free_ char *bytes = NULL;
	FILE *file = open_memstream(&bytes, &ret->size);
	int r = file ? request->exporter->write(snapshot, &options, file, err) : -ENOMEM;

	if (file && fclose(file))
		r = r ? r : -ENOMEM;
	if (r == 0)
		ret->bytes = take_ptr(bytes);
	return r;
}

static void describe(const struct dhat_snapshot *snapshot, struct profile_file *ret)
{
	const Dhat__Target *target = snapshot->head->target;

	dhat_program_name(target->command, target->executable, ret->program);
	ret->pid = target->pid;
	ret->taken_unix_ns = snapshot->head->taken_unix_ns;
}

static int make_difference(const struct profile_services *services,
			   const struct profile_request *request, struct target *target,
			   struct profile_file *ret, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *before = NULL, *after = NULL,
							       *growth = NULL;
	int r = take(services, request, target, &before, err);

	if (r == 0 && !lane_pause(request->gone, request->difference_ns))
		r = -ECANCELED;
	if (r == 0)
		r = take(services, request, target, &after, err);
	if (r < 0)
		return r;
	if (!lane_enter(services->lane, request->gone))
		return -ECANCELED;
	describe(after, ret);
	r = subtract(before, after, &growth);
	if (r == 0)
		r = write_file(growth, request, ret, err);
	lane_leave(services->lane);
	return r;
}

int profile_make(const struct profile_services *services, const struct profile_request *request,
		 struct profile_file *ret, struct dhat_error *err)
{
	_cleanup_(target_unref_ptr) struct target *target = NULL;
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	int r = targets_find(services->targets, request->pid, &target, err);

	if (r < 0)
		return r;
	if (request->difference_ns)
		return make_difference(services, request, target, ret, err);
	r = take(services, request, target, &snapshot, err);
	if (r < 0)
		return r;
	if (!lane_enter(services->lane, request->gone))
		return -ECANCELED;
	describe(snapshot, ret);
	r = write_file(snapshot, request, ret, err);
	lane_leave(services->lane);
	return r;
}
