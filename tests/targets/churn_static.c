/* churn.c with the allocator inside of the program. */
/* build: -static */
#include "churn.c"
