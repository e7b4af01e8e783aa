#include "taken.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/holds/book.h"
#include "daemon/holds/holds.h"
#include "proto/base/cleanup.h"
#include "snapshot.h"

DEFINE_CLEANUP_PTR(struct target_copy *, target_copy_free)
DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct holds *, holds_unref)

struct taking {
	struct dhat_snapshot *snapshot;
	const atomic_bool *gone;
};

static bool is_gone(const struct taking *taking)
{
	return taking->gone && atomic_load(taking->gone);
}

static int add_part(void *context, const Dhat__SnapshotPart *part)
{
	struct taking *taking = context;
	size_t size = dhat__snapshot_part__get_packed_size(part);
	_cleanup_free_ uint8_t *bytes = NULL;
	Dhat__SnapshotPart *copy;

	if (is_gone(taking))
		return -ECANCELED;
	bytes = malloc(size ? size : 1);
	if (!bytes)
		return -ENOMEM;
	dhat__snapshot_part__pack(part, bytes);
	copy = dhat__snapshot_part__unpack(NULL, size, bytes);
	return copy ? dhat_snapshot_add(taking->snapshot, copy, NULL) : -ENOMEM;
}

int taken_snapshot(struct target *target, struct symbolizer *symbolizer,
		   const struct taken_options *options, struct dhat_snapshot **ret,
		   struct dhat_error *err)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	_cleanup_(holds_unref_ptr) struct holds *holds = NULL;
	struct taking taking = { .gone = options ? options->gone : NULL };
	int error = options && options->without_ages
			    ? target_copy(target, true, &copy, err)
			    : target_copy_with_ages(target, 0, false, &copy, err);

	if (error == 0)
		error = dhat_snapshot_new(&snapshot);
	taking.snapshot = snapshot;
	if (error == 0 && options && options->book)
		holds = holds_book_last(options->book, copy->identity.pid,
					copy->observed_since_unix_ns);
	if (error == 0)
		error = snapshot_write(copy, holds, symbolizer, false, add_part, &taking, err);
	if (error == 0)
		error = dhat_snapshot_finish(snapshot, err);
	if (error == 0)
		*ret = take_ptr(snapshot);
	return error;
}
