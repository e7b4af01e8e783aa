#include "mark.h"

#include <string.h>

bool dhat_is_mark_name(const char *name)
{
	static const char digits[] = "0123456789";
	static const char all[] = "0123456789-_+:@"
				  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t length = strlen(name);

	return length && length <= DHAT_MARK_MAX_CHARS && *name != '-' &&
	       strspn(name, all) == length && strspn(name, digits) < length;
}

size_t dhat_mark_find(const struct dhat_snapshot *snapshot, const char *name)
{
	for (size_t i = 0; i < snapshot->head->n_marks; i++)
		if (!strcmp(snapshot->head->marks[i]->name, name))
			return i + 1;
	return 0;
}

static struct dhat_born since(const Dhat__ProgramPoint *point, size_t mark)
{
	struct dhat_born born = { 0 };

	if (mark && mark <= point->n_since_bytes)
		born = (struct dhat_born){ point->since_bytes[mark - 1],
					   point->since_blocks[mark - 1] };
	return born;
}

/* What began later is part of what began earlier. Marks of several processes that were put together
 * need not have come in one order: what would be negative is none. */
static struct dhat_born between(struct dhat_born since, struct dhat_born before)
{
	return (struct dhat_born){
		since.bytes > before.bytes ? since.bytes - before.bytes : 0,
		since.blocks > before.blocks ? since.blocks - before.blocks : 0,
	};
}

static struct dhat_born of_ages(const Dhat__ProgramPoint *point, uint32_t bucket)
{
	struct dhat_born born = { 0 };

	for (size_t i = bucket; i < point->n_live_ages; i++)
		born.blocks += point->live_ages[i];
	born.bytes =
		born.blocks >= point->live_blocks
			? point->live_bytes
			: (uint64_t)((double)point->live_bytes * born.blocks / point->live_blocks);
	return born;
}

struct dhat_born dhat_point_born(const Dhat__ProgramPoint *point, const struct dhat_births *births)
{
	if (!births->are_older)
		return between(since(point, births->since), since(point, births->before));
	if (dhat_point_is_before(point))
		return (struct dhat_born){ 0 };
	if (births->age_bucket)
		return of_ages(point, births->age_bucket);
	return (struct dhat_born){ point->older_bytes, point->older_blocks };
}

struct dhat_born dhat_all_born(const struct dhat_snapshot *snapshot,
			       const struct dhat_births *births)
{
	struct dhat_born sum = { 0 };

	for (size_t i = 0; i < snapshot->point_count; i++) {
		struct dhat_born born = dhat_point_born(snapshot->points[i], births);

		sum.bytes += born.bytes;
		sum.blocks += born.blocks;
	}
	return sum;
}
