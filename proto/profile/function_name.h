#pragma once
/* function_name: how a function's name reads in a table. Pure.
 *
 * N1: no identifier is ever cut. What is left out stands between brackets, where there is a "…"
 *     then, or it is the scopes in front, in place of which there is "…::".
 * N2: the function's own name is always there, and so is what it is a closure of.
 * N3: a name whose brackets do not match stays as it is.
 * Files keep names whole.
 */
#include <stddef.h>

/* For tables: default arguments (`, std::allocator<T>`), inline namespaces of the library
 * (`std::__cxx11::`) and the return type that C++ puts before templates are gone, and lists of more
 * than DHAT_NAME_LIST_COLUMNS collapse: `std::_Hashtable<…>::emplace<…>(…)`, but
 * `Cache<int>::add(int)`. The caller frees. NULL: out of memory. */
#define DHAT_NAME_LIST_COLUMNS 16
char *dhat_short_name(const char *function);

/* For a narrow column: of what dhatctl shows anyhow (dhat_short_name()) as much as fits. First go
 * the parameters, then all template arguments, then scopes from the outermost on. What is left may
 * still be wider than the column: N2. The caller frees. */
char *dhat_fitting_name(const char *function, size_t columns);

/* The function's name without a return type before it: within the text. */
const char *dhat_name_begin(const char *function);
