#pragma once
/* survey: what is to be known of a file before anything in it is probed: what it is, and where its
 * allocators' functions would be probed.
 *
 * Plain: made in the worker (surveyor.h), checked where it comes out of there (worker_pack.h).
 */
#include "conduct.h"
#include "daemon/object/elf/object_desc.h"
#include "proto/base/error.h"
#include "site.h"

struct survey_question {
	const char *path;      /* as the target sees it: a person names a file by that */
	char *const *customs;  /* texts, see custom.h; NULL-terminated, may be NULL */
	bool use_exit_probes;  /* for every returning function, not only those that may throw */
	bool may_execute;      /* programs of ours may execute instructions: bpf/places.h */
	bool use_result_sites; /* where they can be proven: one trap an allocation */
	bool wants_mappers, wants_candidates;
};

struct survey {
	struct object_desc desc;
	struct sites allocators;
	struct sites mappers; /* functions by which the program maps memory itself */
	/* What the question's customs name in this file, if it has all of that; else why not. */
	struct sites customs;
	int customs_error; /* errno */
	struct dhat_error customs_why;
	/* Bits 1 << enum object_maker: allocators whose texts it has, and none of whose functions
	 * are among the sites. */
	uint32_t hidden;
	/* Of functions by which those are entered: see survey_candidate(). */
	struct sites candidates;
};
void survey_free(struct survey *survey);

/* An entry's role is known only when it was watched, so that there is a site for each that it may
 * have; awaits: for a free whose return is of interest. NULL: none was asked for. One that is
 * refused cannot have this role. */
#define SURVEY_CANDIDATES (CONDUCT_ROLES + 1) /* of an entry */
const struct site *survey_candidate(const struct survey *survey, size_t entry,
				    enum conduct_role role, bool awaits);
