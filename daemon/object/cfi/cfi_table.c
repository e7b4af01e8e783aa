#include "cfi_table.h"

#include <stdlib.h>

void cfi_table_free(struct cfi_table *table)
{
	if (!table)
		return;
	free(table->words);
	free(table);
}
