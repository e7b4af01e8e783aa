#pragma once
/* attach_options: how to watch a target, as command lines say it; the same for `dhatd attach`,
 * `dhatd run` and `dhatctl attach`.
 */
#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#define DHAT_MAX_MEMORY_LEAST (16u << 20)

struct dhat_attach_options {
	uint32_t ring_bytes;	   /* 0: the default */
	uint64_t max_memory_bytes; /* 0: the default; else DHAT_MAX_MEMORY_LEAST at least */
	uint64_t sample_bytes;	   /* 0: every block is recorded */
	const char *link;	   /* NULL: the best there is */
	const char *sites;	   /* NULL: what suits the links; "entry", "result" */
	char **custom; /* owned, NULL-terminated, as AttachOptions.custom in dhat.proto; may be NULL
			*/
	bool follow_fork, follow_exec, anonymous_memory, skip_inventory;
	bool with_lifetimes;
	bool no_return_probes;
};

/* A child parser; its input is a struct dhat_attach_options, zeroed before. */
extern const struct argp dhat_attach_argp;
void dhat_attach_options_deinit(struct dhat_attach_options *options);
