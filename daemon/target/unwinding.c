#include "unwinding.h"

#include "daemon/lookup/tables.h"
#include "objects.h"
#include "private.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

void unwinding_deinit(struct unwinding *unwinding)
{
	for (size_t i = 0; i < unwinding->table_count; i++)
		if (unwinding->tables[i].words)
			munmap(without_qualifiers(unwinding->tables[i].words),
			       unwinding->tables[i].bytes);
	free(unwinding->tables);
	free(unwinding->mappings);
	*unwinding = (struct unwinding){ 0 };
}

static void map_table(const struct table *table, struct unwinding_table *ret)
{
	void *words = mmap(NULL, table->bytes, PROT_READ, MAP_SHARED, table->map_fd, 0);

	if (words != MAP_FAILED)
		*ret = (struct unwinding_table){ words, table->bytes };
}

/* With the lock. */
static int take(const struct objects *objects, struct unwinding *unwinding)
{
	int r = objects_list(objects, &unwinding->mappings, &unwinding->mapping_count);

	if (r == 0)
		unwinding->tables = calloc(objects->count + 1, sizeof(*unwinding->tables));
	if (!unwinding->tables)
		return -ENOMEM;
	unwinding->table_count = objects->count;
	for (size_t i = 0; i < unwinding->mapping_count; i++) {
		const struct dhat_mapping *mapping = &unwinding->mappings[i];
		struct unwinding_table *table = &unwinding->tables[mapping->table_slot];

		if (mapping->kind == DHAT_MAPPING_TABLE && !table->words)
			map_table(objects->slots[mapping->table_slot].table, table);
	}
	return 0;
}

int unwinding_take(struct objects *objects, struct unwinding *ret)
{
	_cleanup_(unwinding_deinit) struct unwinding unwinding = { 0 };
	int r;

	pthread_mutex_lock(&objects->lock);
	r = take(objects, &unwinding);
	pthread_mutex_unlock(&objects->lock);
	if (r)
		return r;
	*ret = unwinding;
	unwinding = (struct unwinding){ 0 };
	return 0;
}

int target_unwinding(struct target *target, struct unwinding *ret)
{
	return unwinding_take(&target->objects, ret);
}
