#pragma once
/* choice: which of dhatd's targets is meant. */
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/wire/dhat.pb-c.h"

/* Where no process was named: is there one to choose from? Of several attached ones a list by name
 * and pid is printed to stderr, and DHAT_EXIT_USAGE returned; command: "stats", for the hint.
 * Nothing attached is for dhatd to say. */
int choice_check(const char *socket_path, const char *command, struct dhat_error *err);

/* All that are attached; if none is, all whose profile is kept. The caller frees *ret_pids. */
int choice_all(const char *socket_path, uint32_t **ret_pids, size_t *ret_count,
	       struct dhat_error *err);

/* The status of one, or of all (pid 0); with --wait, when the target is there. The caller frees the
 * response. */
int choice_status(const char *socket_path, uint32_t pid, Dhat__Response **ret,
		  struct dhat_error *err);
