#pragma once
/* queue: requests that wait on disk to be sent, the oldest first.
 *
 * A folder of files, each there whole or not at all, so that a kill or a crash of the machine loses
 * none that was added. It is one dhatd's at a time. Bounds: PUSH_QUEUE_FILES files, and as many
 * bytes as it is told; the oldest go, and are counted; the newest always stays. One thread adds,
 * one takes, any looks.
 */
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/error.h"

#define PUSH_QUEUE_FILES 4096

struct queue;

/* What was there before is there again. Refused (DHAT_EXIT_ALREADY) while another dhatd has it. */
int queue_open(const char *folder, uint64_t max_bytes, struct queue **ret, struct dhat_error *err);
void queue_close(struct queue *queue); /* NULL is fine */
void queue_set_max_bytes(struct queue *queue, uint64_t max_bytes);

/* What is written at the stream is checked. On failure nothing was added. */
typedef int (*queue_write)(void *context, FILE *file, struct dhat_error *err);
int queue_add(struct queue *queue, queue_write write, void *context, struct dhat_error *err);

enum queue_end { QUEUE_OLDEST, QUEUE_NEWEST };
/* The path of one, which stays until it is let go. -ENOENT: there is none. */
int queue_take(struct queue *queue, enum queue_end which, char ret_path[PATH_MAX]);
/* is_done: it goes; else it stays where it is. */
void queue_let_go(struct queue *queue, bool is_done);

struct queue_state {
	uint64_t files, bytes; /* that wait */
	uint64_t dropped;      /* that went because of the bounds */
};
void queue_look(struct queue *queue, struct queue_state *ret);
/* Of a folder that nobody has: what waits in it, and the path of the oldest. -EBUSY: somebody has
 * it; -ENOENT: there is none, or nothing in it. Nothing is changed. */
int queue_peek(const char *folder, struct queue_state *ret, char ret_oldest[PATH_MAX]);
