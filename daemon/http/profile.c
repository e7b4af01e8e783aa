#include "profile.h"

#include <errno.h>

#include "daemon/target/targets.h"
#include "proto/base/cleanup.h"
#include "proto/profile/growth.h"

DEFINE_CLEANUP_PTR(struct target *, target_unref)
DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)
DEFINE_CLEANUP_PTR(struct dhat_difference *, dhat_difference_free)

/* Many may have come together, when nothing was held yet. */
static int enter(const struct profile_services *services, const struct profile_request *request,
		 struct dhat_error *err)
{
	if (!lane_enter(services->lane, request->http->gone))
		return -ECANCELED;
	if (http_request_has_room(request->http))
		return 0;
	lane_leave(services->lane);
	return dhat_error_set(err, EBUSY, DHAT_EXIT_FAILED, HTTP_NO_ROOM);
}

static int take(const struct profile_services *services, const struct profile_request *request,
		struct target *target, struct dhat_snapshot **ret, struct dhat_error *err)
{
	const struct taken_options options = { .book = services->book,
					       .without_ages = !request->with_ages,
					       .gone = request->http->gone };
	int r = enter(services, request, err);

	if (r < 0)
		return r;
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

	if (r == 0 && !lane_pause(request->http->gone, request->difference_ns))
		r = -ECANCELED;
	if (r == 0)
		r = take(services, request, target, &after, err);
	if (r == 0)
		r = enter(services, request, err);
	if (r < 0)
		return r;
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
	const struct targets_question question = {
		.pid = (pid_t)request->pid,
		.program = request->program,
		.how = "by ?pid= or ?program=",
	};
	int r = targets_ask(services->targets, &question, &target, err);

	if (r < 0)
		return r;
	if (request->difference_ns)
		return make_difference(services, request, target, ret, err);
	r = take(services, request, target, &snapshot, err);
	if (r == 0)
		r = enter(services, request, err);
	if (r < 0)
		return r;
	describe(snapshot, ret);
	r = write_file(snapshot, request, ret, err);
	lane_leave(services->lane);
	return r;
}
