#include "programs.h"

#include <errno.h>
#include <stdlib.h>

#include "choice.h"
#include "client.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/profile/snapshot_merge.h"

void programs_deinit(struct programs *programs)
{
	for (size_t i = 0; i < programs->count; i++)
		dhat_snapshot_free(programs->list[i]);
	free(programs->list);
	*programs = (struct programs){ 0 };
}

int programs_add(struct programs *programs, struct dhat_snapshot *snapshot, struct dhat_error *err)
{
	for (size_t i = 0; i < programs->count; i++)
		if (dhat_snapshot_adds_up(programs->list[i], snapshot))
			return dhat_snapshot_merge(programs->list[i], snapshot, err);
	if (array_make_room(&programs->list, &programs->room, programs->count)) {
		dhat_snapshot_free(snapshot);
		return dhat_error_errno(err, ENOMEM, "cannot hold the profiles");
	}
	programs->list[programs->count++] = snapshot;
	return 0;
}

int programs_fetch(struct programs *programs, const char *socket_path,
		   const Dhat__SnapshotRequest *wanted, const uint32_t *pids, size_t count,
		   struct dhat_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		Dhat__SnapshotRequest one = *wanted;
		struct dhat_snapshot *snapshot = NULL;
		struct dhat_error why = { 0 };

		one.pid = pids[i];
		r = client_snapshot(socket_path, &one, &snapshot, &why);
		if (snapshot)
			r = programs_add(programs, snapshot, &why);
		if (r < 0 && why.code == DHAT_EXIT_NO_PROCESS && count > 1)
			r = 0;
		else if (r < 0)
			return dhat_error_set(err, -r, why.code, "%s", why.message);
	}
	return r;
}

int programs_fetch_all(struct programs *programs, const char *socket_path,
		       const Dhat__SnapshotRequest *wanted, struct dhat_error *err)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t count = 0;
	int r = choice_all(socket_path, &pids, &count, err);

	return r < 0 ? r : programs_fetch(programs, socket_path, wanted, pids, count, err);
}
