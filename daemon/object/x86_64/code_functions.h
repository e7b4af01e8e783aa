#pragma once
/* code_functions: the functions of code without call frame information: where they begin, who calls
 * whom, and which of them return.
 *
 * Pure. All are taken to return until they were read. When one is found not to, those that call it
 * are stale: they have to be read again. A function is found not to return once and for good, so
 * that ends.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/object/machine/cfi_code.h"

enum function_state {
	FUNCTION_UNREAD,
	FUNCTION_RETURNS,
	FUNCTION_DOES_NOT_RETURN,
	FUNCTION_NOT_UNDERSTOOD, /* taken to return */
};

struct function {
	uint64_t entry;
	uint32_t reading;  /* the last one */
	uint8_t state;	   /* enum function_state */
	bool is_postponed; /* until what it calls was read */
	bool is_stale;
};

struct function_call {
	uint32_t caller, callee;
};

struct code_functions {
	const struct cfi_code *code; /* borrowed */
	struct function *list;	     /* number 0 is the outermost code */
	size_t count, capacity;
	uint32_t *numbers; /* hash table by entry; 0 is free */
	size_t slots;
	struct function_call *calls; /* of those that may be found not to return */
	size_t call_count, call_capacity;
};

/* With the entries of code. */
int code_functions_init(struct code_functions *functions, const struct cfi_code *code);
void code_functions_deinit(struct code_functions *functions);

/* The range of the code that holds addr; NULL if none. */
const struct cfi_code_range *code_functions_range(const struct code_functions *functions,
						  uint64_t addr);
/* By its entry; 0: none begins there. */
uint32_t code_functions_find(const struct code_functions *functions, uint64_t entry);
/* One is called there. Beyond a million they are left out. */
int code_functions_add(struct code_functions *functions, uint64_t entry);
/* One is pointed to, if a function can begin there. */
int code_functions_add_pointer(struct code_functions *functions, uint64_t addr);
int code_functions_add_call(struct code_functions *functions, uint32_t caller, uint32_t callee);
/* Of a function outside of the ranges, a stub or a pointer: is it known not to return? */
bool code_functions_is_noreturn(const struct code_functions *functions, uint64_t addr);
/* Marks who calls what has been found not to return. Whether there is any. */
bool code_functions_find_stale(struct code_functions *functions);
