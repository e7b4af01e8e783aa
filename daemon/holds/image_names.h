#pragma once
/* image_names: names for addresses of a process that lie in files it has mapped: of variables, and
 * of functions.
 */
#include "daemon/lookup/symbolizer.h"
#include "scan_once.h"

struct image_name {
	uint64_t addr; /* asked; 0: nothing is */
	char *name;    /* NULL: not known */
	/* of a variable: how far into it, as "+16"; of members: as its debugging information calls
	   that place, ".buckets", where there is some; NULL: at its beginning */
	char *within;
};

enum image_name_kind {
	IMAGE_VARIABLES, /* and those of bss */
	IMAGE_MEMBERS,	 /* of these */
	IMAGE_FUNCTIONS,
};

/* list: in any order; sorted by address on return. -ENOMEM. */
int image_names_find(const struct scan_once *scan, const struct target_identity *identity,
		     struct symbolizer *symbolizer, enum image_name_kind kind,
		     struct image_name *list, uint32_t count);
void image_names_free(struct image_name *list, uint32_t count);
/* NULL: not among them. */
const struct image_name *image_names_get(const struct image_name *list, uint32_t count,
					 uint64_t addr);
/* The mapping of the file that an address, or the bss that it lies in, belongs to; NULL: none. */
const struct procmaps_entry *image_names_file(const struct procmaps *maps, uint64_t addr);
