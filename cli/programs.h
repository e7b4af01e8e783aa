#pragma once
/* programs: profiles of several processes or files: those of one program are put together. */
#include "proto/base/error.h"
#include "proto/profile/snapshot.h"

struct programs {		     /* all 0: none */
	struct dhat_snapshot **list; /* one for each program, owned */
	size_t count, room;
};
void programs_deinit(struct programs *programs);

/* Takes the snapshot over, whether it succeeds or not. */
int programs_add(struct programs *programs, struct dhat_snapshot *snapshot, struct dhat_error *err);

/* Of these processes of a dhatd's, as `wanted` says (its pid is not looked at). One of several that
 * ends meanwhile has its profile still; one that dhatd has let go of since is none. */
int programs_fetch(struct programs *programs, const char *socket_path,
		   const Dhat__SnapshotRequest *wanted, const uint32_t *pids, size_t count,
		   struct dhat_error *err);
/* Of all: choice_all(). */
int programs_fetch_all(struct programs *programs, const char *socket_path,
		       const Dhat__SnapshotRequest *wanted, struct dhat_error *err);
