#pragma once
/* generated: names of a target's code that is in no file, as whoever made it tells them.
 *
 * From /tmp/perf-PID.map, where the target sees it and by its own number there, and from a jitdump
 * that it maps. Either has to belong to the target's owner and to be no older than the process; the
 * worker reads them. A place has the name that it had when it was on stacks (jit_names.h).
 */
#include "daemon/lookup/symbolizer.h"
#include "daemon/target/target.h"
#include "frame_places.h"

struct generated {
	struct names *by_map, *by_dump; /* NULL: there is none */
	uint32_t unnamed;		/* places that neither names */
	char note[512];			/* why there are some; "" if there are none */
};

/* times: of each place. Fills *ret even if nothing could be named; fails only without memory.
 * root_fd: the target's root, O_PATH; -1: gone. */
int generated_name(const struct target_copy *copy, int root_fd, struct symbolizer *symbolizer,
		   const struct stack_frame *places, const struct place_time *times, uint32_t count,
		   struct generated *ret);
/* The names that have one for a place; NULL: none has. */
const struct names *generated_of(const struct generated *generated, uint32_t place);
void generated_deinit(struct generated *generated);
