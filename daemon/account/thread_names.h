#pragma once
/* thread_names: numbers for what threads are called, so that a point can say in one word which of
 * them have allocated there.
 *
 * Pure. A name keeps its number. Of pools that number their threads the first THREAD_NAMES_ALIKE
 * names are kept as they are, and further ones are the pattern "worker-*": so THREAD_NAMES_MOST are
 * enough for most programs. Threads whose name has no room, or is not known, have number 0.
 */
#include <stddef.h>
#include <stdint.h>

#include "bpf/dhat_abi.h"

#define THREAD_NAMES_MOST 63 /* with number 0, one bit each of a word */
#define THREAD_NAMES_ALIKE 16

struct thread_names {					  /* all 0: there are none */
	char names[THREAD_NAMES_MOST][DHAT_THREAD_CHARS]; /* of number 1 first; end with a 0 */
	uint8_t count;
};

/* The number of a name, which may hold anything and need not end with a 0. "" is none. */
uint8_t thread_names_add(struct thread_names *names, const char name[DHAT_THREAD_CHARS]);
