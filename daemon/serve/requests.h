#pragma once
/* requests: what dhatd answers to each request. */
#include "control.h"
#include "daemon/holds/book.h"
#include "daemon/lookup/symbolizer.h"
#include "daemon/push/pusher.h"
#include "daemon/target/targets.h"
#include "daemon/worker/worker.h"

struct requests_context {
	struct targets *targets;
	struct symbolizer *symbolizer;
	struct worker *worker;
	struct holds_book *book; /* daemon/holds/book.h */
	struct pusher *pusher;
	uint64_t
		max_memory_bytes; /* of a target, where a request does not say; as target_options */
};

/* For control_new(), with a struct requests_context as its context. */
extern const struct control_entry requests_table[];
