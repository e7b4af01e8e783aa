#pragma once
#include <stdint.h>

/* For structs and functions of libraries that know no const (protobuf-c's strings, getopt's argv)
 * and that only read what they are lent, and for giving back what was ours: the pointer without its
 * const or _Atomic. -Wcast-qual is on, so that every place that does so says it. */
#define without_qualifiers(pointer) ((void *)(uintptr_t)(pointer))
