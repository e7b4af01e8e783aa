#pragma once
/* worker_process: a child of dhatd's that answers questions: its start, its socket, its end.
 *
 * Who has taken one (worker.c) is the only one to start, ask and stop it; others may but shut its
 * socket, under sock_lock.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/error.h"
#include "worker_ask.h"

#define WORKER_OWNER_NONE ((uid_t)-1)

struct worker_process {
	enum worker_kind kind;
	bool is_taken; /* for a whole exchange; worker's `lock` guards it */
	pid_t pid;     /* 0: not running */
	/* taken to change sock, or to use it while another has taken it */
	pthread_mutex_t sock_lock;
	int sock;
	atomic_bool is_stopped; /* no further requests */
	int niceness;		/* of the thread that started it */
	uid_t owner; /* of the files it has read; WORKER_OWNER_NONE: none, or only root's */
};

/* Not running. For pthread_mutex_destroy(&process->sock_lock), once it is stopped. */
void worker_process_init(struct worker_process *process, enum worker_kind kind);
/* memory_bytes: at most so much address space; 0: no bound. */
int worker_process_start(struct worker_process *process, uint64_t memory_bytes,
			 struct dhat_error *err);
/* Ends it if it is still there; the status is what it ended with by itself, or SIGKILL. */
int worker_process_stop(struct worker_process *process);
/* Should dhatd be killed while it loops in a hostile file, it must not loop on: so much CPU time,
 * from now on, and two seconds. */
void worker_process_limit_cpu(const struct worker_process *process, uint64_t limit_ns);
/* Closes the one that it has; the new one is its own. */
void worker_process_set_socket(struct worker_process *process, int sock);
