#pragma once
/* shorten: C++ function names as people say them. Pure.
 *
 * Only what is a default and says nothing goes: `std::__cxx11::basic_string<char, …>` becomes
 * `std::string`, and a trailing allocator argument `, std::allocator<T>` is dropped, as are inline
 * namespaces of the library (`std::__cxx11::`, `std::__1::`). For tables only: files keep names
 * whole.
 */

/* A shortened copy; the caller frees. NULL: out of memory. */
char *shorten_function(const char *function);

/* "Cache::insert(std::string const&, int) const" as "Cache::insert(…) const": for narrow screens,
 * where who is called says more than with what. The caller frees. */
char *shorten_arguments(const char *function);
