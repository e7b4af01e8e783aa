#pragma once
/* function_code: what is known of the stack at each instruction of one function, by following all
 * ways from its entry on.
 *
 * Pure. Two ways to one place have to agree, and every ret has to find the return address. Where
 * that is not so and one of the ways goes on behind a call, of which it is not certain that it
 * returns, it does not. What jumps by tables lead to lies between what the other ways lead to, and
 * has the stack that there is at such a jump; it is believed if it proves consistent with that.
 */
#include "code_functions.h"
#include "stack_code.h"

#define FUNCTION_MAX_SWITCHES 4	   /* jumps by tables with different stacks */
#define FUNCTION_MAX_DEAD_CALLS 16 /* that are believed not to return */
#define FUNCTION_MAX_PLACES (1u << 17)

struct place {
	uint64_t addr;
	uint64_t behind; /* the call behind which this way goes on, if it may be none; else 0 */
	uint32_t slot;	 /* that points here */
	struct stack_place stack;
};

/* One for all functions; all but the first two are of the one that was read last. */
struct function_code {
	struct code_functions *functions; /* borrowed; those that it calls are added */
	uint64_t instruction_count;	  /* read so far */
	uint32_t number;
	struct place *places; /* those seen */
	size_t place_count, place_capacity;
	uint32_t *slots; /* hash table by address: of places; stale ones point at none that is
			    theirs */
	size_t slot_count;
	struct place *work; /* ways to be followed */
	size_t work_count, work_capacity;
	struct stack_place switches[FUNCTION_MAX_SWITCHES];
	size_t switch_count;
	uint64_t dead_calls[FUNCTION_MAX_DEAD_CALLS];
	size_t dead_call_count;
	uint64_t blamed; /* a call behind which nothing fits; 0: none */
	bool has_ret, is_inconsistent;
	bool calls_unread; /* functions of which it may turn out that they do not return */
	bool is_guess;	   /* what is read now changes nothing that is known */
};

int function_code_init(struct function_code *f, struct code_functions *functions);
void function_code_deinit(struct function_code *f);
/* Read it. -EAGAIN: it is inconsistent, and calls functions that were not read yet. */
int function_code_read(struct function_code *f, uint32_t number);
