#pragma once
/* targets_private: the list of targets, of targets.c, which keeps it, and targets_ask.c, which
 * finds in it. */
#include "process_set.h"
#include "targets.h"

#include <pthread.h>

struct entry {
	struct target *target; /* a reference */
	bool is_over;	       /* its process has ended or was replaced, or it was detached */
	bool is_ending;	       /* its process has ended: the closer's from now on */
	bool is_replaced;      /* by an exec: kept beside the profile of what came after */
};

struct reservation {
	pid_t pid;
	uint32_t watch; /* for whom */
};

struct targets {
	struct target_services services;
	/* Guards the list. Never held while a target is worked on; of other locks, only the
	 * threads' queues are locked with it. */
	pthread_mutex_t lock;
	struct entry *entries;
	size_t count;
	size_t max_ended; /* targets_keep_ended() */
	bool is_closed;	  /* targets_close() */
	bool is_starting; /* targets_set_starting() */
	/* being attached to: not yet in the list, and nobody else's any more */
	struct reservation *reserved;
	size_t reserved_count;
	struct process_set let_go; /* targets_was_let_go() */
	pthread_cond_t settled;	   /* nothing is reserved */
	struct collector_thread *collector;
	uint64_t turns; /* of the collector, when targets_are_looked_after() was asked last */
	struct mapper *mapper, *trier; /* the second for trials, which wait, for a second at most */
	struct closer *closer;
	struct inventory_threads *inventories;
	struct searches *searches;
	struct targets_listener listener;
};
