#include "pages.h"

#include <stddef.h>

static const struct {
	uint64_t below_s; /* 0: any */
	const char *name;
} ages[DHAT_PAGE_AGES] = {
	{ 1, "under a second" },
	{ 10, "1 to 10 s" },
	{ 60, "10 s to 1 min" },
	{ 600, "1 to 10 min" },
	{ 3600, "10 min to 1 h" },
	{ 6 * 3600, "1 to 6 h" },
	{ 24 * 3600, "6 to 24 h" },
	{ 0, "a day and more" },
	[DHAT_PAGE_AGE_BEFORE] = { 0, "from before the attach" },
};

uint8_t dhat_page_age(uint64_t ns)
{
	uint8_t age = 0;

	while (ages[age].below_s && ns >= ages[age].below_s * 1000000000)
		age++;
	return age;
}

const char *dhat_page_age_name(uint8_t age)
{
	return ages[age < DHAT_PAGE_AGES ? age : DHAT_PAGE_AGE_BEFORE].name;
}

void dhat_point_pages_add(struct dhat_point_pages *sum, const Dhat__ProgramPoint *part)
{
	sum->resident_bytes += part->resident_bytes;
	sum->swapped_bytes += part->swapped_bytes;
	sum->untouched_bytes += part->untouched_bytes;
	for (size_t i = 0; i < part->n_beside_bytes; i++) { /* S5 */
		sum->beside_bytes += part->beside_bytes[i];
		sum->beside_ages[i] += part->beside_bytes[i];
	}
	sum->alone_bytes += part->alone_bytes;
	sum->highest_blocks += part->highest_blocks;
	sum->highest_bytes += part->highest_bytes;
}
