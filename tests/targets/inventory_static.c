/* The same without a libc.so.  build: -static -pthread */
#define IS_STATIC
#include "inventory.c"
