#include "settled.h"

#include <errno.h>

#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct inventory *, inventory_free)

/* Keep the better one of both, and free the other. */
static void keep_better(struct inventory **best, struct inventory *taken)
{
	if (*best && !taken->is_complete && taken->unseen_bytes > (*best)->unseen_bytes) {
		inventory_free(taken);
		return;
	}
	inventory_free(*best);
	*best = taken;
}

/* Damaged at two looks in a row is damaged for good. */
static bool is_settled(const struct inventory *taken, const struct inventory *before)
{
	return taken->is_complete || (before && taken->is_damaged && before->is_damaged &&
				      taken->unseen_bytes == before->unseen_bytes);
}

int inventory_settle(const struct inventory_taker *taker, struct inventory **ret,
		     struct dhat_error *err)
{
	_cleanup_(inventory_free_ptr) struct inventory *best = NULL;
	struct dhat_error why = { 0 };
	uint64_t pause_ns = SETTLED_FIRST_PAUSE_NS;
	int error = 0;

	for (int i = 0; i < SETTLED_READINGS; i++, pause_ns *= SETTLED_LONGER) {
		struct inventory *taken = NULL;
		bool is_over = false;
		uint64_t before_ns;

		taker->pause(taker->context, pause_ns);
		before_ns = taker->cpu_ns(taker->context);
		why = (struct dhat_error){ 0 };
		error = taker->take(taker->context, &taken, &why);
		if (error && (error != -ENOENT || !taker->is_awaited))
			break;
		if (!error) {
			is_over = is_settled(taken, best);
			keep_better(&best, taken);
		}
		if (is_over || taker->cpu_ns(taker->context) - before_ns > SETTLED_CHEAP_NS)
			break;
	}
	if (best && (!error || error == -ENOENT)) {
		*ret = take_ptr(best);
		return 0;
	}
	if (err)
		*err = why;
	return error;
}
