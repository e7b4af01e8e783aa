#pragma once
/* trim: leave out of a stack what every allocation goes through.
 *
 * Pure, by rules on function names; for exporters and tables (`--trim`). Only names of the stack
 * itself decide, so that stacks that differ in what is kept never become one by it, and equal ones
 * stay equal. Kinds of rules:
 *   allocator: at the inner end, the functions between malloc and the code that wanted memory:
 *	`operator new`, `std::allocator…`, `__gnu_cxx::new_allocator…`, `__rust_alloc`,
 *	`alloc::alloc::…`, `alloc::raw_vec::…`, a program's own `<T as core::alloc::…>::alloc`
 *   tokio: anywhere, the executor's own frames, with the thread and panic glue next to them: what
 *	remains is the async functions and what they called. A frame of the executor that alone
 *	tells which future was polled (v0 symbols without debugging information) stays.
 *   std: anywhere, what is in a name space of a standard library: C++'s `std::`, `__gnu_cxx::`,
 *	`operator new`; Rust's `std::`, `core::`, `alloc::`, hashbrown. Their templates go with what
 *a program put into them: what remains is who called. A stack of nothing but noise keeps its
 *outermost frame.
 */
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"

enum dhat_trim { /* bits */
		 DHAT_TRIM_ALLOCATOR = 1,
		 DHAT_TRIM_TOKIO = 2,
		 DHAT_TRIM_STD = 4,
};

/* "allocator", "tokio", "std", several with commas between them, or "all". */
int dhat_trim_parse(const char *text, unsigned *ret_rules, struct dhat_error *err);

/* functions: names of a stack's locations, innermost first, inlined ones each for itself; NULL or
 * "" for those without a name (they are kept). Sets keep[i] for all; returns how many are kept. */
size_t dhat_trim_stack(const char *const *functions, size_t count, unsigned rules, bool *keep);

/* Does a rule of any kind mean this function, if it stood alone? */
bool dhat_trim_is_library(const char *function);
/* The words of the rules, in order of their bits; NULL: no such bit. */
const char *dhat_trim_word(unsigned bit);
