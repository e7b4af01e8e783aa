#pragma once
/* exported: a profile as a file of a format, in memory. Behind <cmocka.h>. */
#include <stdio.h>

#include "proto/export/export.h"

/* The caller frees. Not inlined: gcc 12 takes what open_memstream() keeps of it for a fault. */
__attribute__((noinline)) static char *export_as(const struct dhat_exporter *exporter,
						 const struct dhat_snapshot *snapshot,
						 size_t *ret_size)
{
	const struct dhat_export_options options = { 0 };
	char *text = NULL;
	FILE *file = open_memstream(&text, ret_size);

	assert_int_equal(exporter->write(snapshot, &options, file, NULL), 0);
	fclose(file);
	return text;
}
