#pragma once
/* worker_ask: one question to a worker, whatever it is about (worker.h says what of). */
#include <stddef.h>
#include <stdint.h>

#include "proto/base/wire.h"
#include "worker.h"

enum worker_kind {
	WORKER_NAMES,
	WORKER_TABLES,
	WORKER_SCANS, /* reads a process's memory: of low priority, and ends with each question */
	WORKER_KINDS
};

struct worker_question {
	uint32_t type; /* enum worker_message */
	enum worker_kind kind;
	int fd; /* a regular file; a process's memory counts as one */
	const struct wire_writer *request;
	uint64_t max_answer;		    /* bytes */
	const struct wish_granter *granter; /* may be NULL: nothing is granted */
};

/* Waits for the answer, as long as the options allow. The caller frees *ret. */
int worker_ask(struct worker *worker, const struct worker_question *question, uint8_t **ret,
	       size_t *ret_size, struct dhat_error *err);
