#pragma once
/* partial: what is known not to be counted of a target, though all that was probed is.
 *
 * Pure. A finding has a key, so that what is found again replaces what was said before. The
 * sentence says what is missing, why, and what can be done: it stands in the verdict, in every
 * snapshot and export.
 */
#include <stddef.h>
#include <stdint.h>

struct partial {
	char *key, *text;
	uint64_t bytes; /* of the target's memory, where it is known; else 0 */
};

struct partials { /* starts zeroed; in the order of finding */
	struct partial *list;
	size_t count;
};

/* On failure (-ENOMEM) nothing has changed. */
int partials_say(struct partials *partials, const char *key, uint64_t bytes, const char *format,
		 ...) __attribute__((format(printf, 4, 5)));
/* It is missing no more. A key that is not there is left alone. */
void partials_withdraw(struct partials *partials, const char *key);
void partials_deinit(struct partials *partials);
