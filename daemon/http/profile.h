#pragma once
/* profile: a target's profile as the bytes of a file, for pages. */
#include "daemon/serve/taken.h"
#include "lane.h"
#include "proto/export/export.h"
#include "server.h"

struct profile_services { /* borrowed */
	struct targets *targets;
	struct symbolizer *symbolizer;
	struct holds_book *book;
	struct lane *lane; /* in which profiles are made */
};

struct profile_request {
	uint32_t pid;	     /* 0: the only one, … */
	const char *program; /* … or, if this is not NULL, one of it: targets_ask() */
	const struct dhat_exporter *exporter;
	enum dhat_metric metric;
	bool with_ages;
	uint64_t difference_ns; /* not 0: what changes so long; the exporter holds differences */
	const struct http_request *http; /* who asks, and perhaps goes */
};

struct profile_file {
	char *bytes; /* the caller's */
	size_t size;
	char program[DHAT_PROGRAM_CHARS];
	uint32_t pid;
	uint64_t taken_unix_ns;
};

/* -ECANCELED: nobody waits any more. -EBUSY: there is no room for it, http_request_has_room(). */
int profile_make(const struct profile_services *services, const struct profile_request *request,
		 struct profile_file *ret, struct dhat_error *err);
