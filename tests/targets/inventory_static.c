/* The same without a libc.so.  build: -static -pthread */
#include "inventory.c"
