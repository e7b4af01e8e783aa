#include "attempts.h"

#include "proto/base/array.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int attempts_add(struct attempts *attempts, const struct attempt *attempt)
{
	for (size_t i = 0; i < attempts->count; i++) {
		struct attempt *old = &attempts->list[i];

		if (old->pid == attempt->pid && old->owned == attempt->owned) {
			unsigned left = old->left;

			*old = *attempt;
			if (old->left < left)
				old->left = left;
			return 0;
		}
	}
	if (array_make_room(&attempts->list, &attempts->capacity, attempts->count))
		return -ENOMEM;
	attempts->list[attempts->count++] = *attempt;
	return 0;
}

bool attempts_take(struct attempts *attempts, uint64_t now_ns, struct attempt *ret)
{
	for (size_t i = 0; i < attempts->count; i++) {
		if (attempts->list[i].not_before_ns > now_ns)
			continue;
		*ret = attempts->list[i];
		attempts->count--;
		memmove(&attempts->list[i], &attempts->list[i + 1],
			(attempts->count - i) * sizeof(*attempts->list));
		return true;
	}
	return false;
}

bool attempts_again(struct attempts *attempts, const struct attempt *attempt, uint64_t when_ns)
{
	struct attempt next = *attempt;

	if (next.left <= 1)
		return false;
	next.left--;
	next.not_before_ns = when_ns;
	return attempts_add(attempts, &next) == 0;
}

void attempts_deinit(struct attempts *attempts)
{
	free(attempts->list);
	*attempts = (struct attempts){ 0 };
}
