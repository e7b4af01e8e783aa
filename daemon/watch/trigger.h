#pragma once
/* trigger: when a profile of a target is to be kept, as people write it. Pure.
 *
 *	TRIGGER := LEVEL [for DURATION] | EVENT
 *	LEVEL   := rss > SIZE | live > SIZE | growth > SIZE / (s|min|h) | overhead > PERCENT
 *	         | psi.memory > PERCENT | cgroup.psi.memory > PERCENT
 *	EVENT   := failed-allocation | cgroup.memory.high | cgroup.memory.max | exit | oom
 *
 * Sizes and durations as of units.h ("2GiB", "5m"), percentages with up to two decimals ("2.5%");
 * blanks are allowed around > and / and between words.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trigger_kind {
	/* levels: true while a reading is above one */
	TRIGGER_RSS,	    /* resident bytes of the process */
	TRIGGER_LIVE,	    /* live bytes of its heap */
	TRIGGER_GROWTH,	    /* live bytes now, less those of a second, a minute or an hour ago */
	TRIGGER_OVERHEAD,   /* what watching costs the target, of a core */
	TRIGGER_PSI,	    /* "some avg10" of /proc/pressure/memory … */
	TRIGGER_CGROUP_PSI, /* … and of memory.pressure of its control group */
	/* events: true from one until there was none for a minute */
	TRIGGER_FAILED, /* an allocator has returned NULL */
	TRIGGER_HIGH,	/* of its control group: memory.events (cgroups(7), v2) */
	TRIGGER_MAX,
	/* ends: once */
	TRIGGER_EXIT, /* the process has ended, or has executed another program */
	TRIGGER_OOM,  /* … killed by the kernel for want of memory */
	TRIGGER_KINDS,
};

#define TRIGGER_TEXT_CHARS 64

struct trigger {
	enum trigger_kind kind;
	uint64_t level;		       /* bytes, or hundredths of a percent */
	uint64_t window_ns;	       /* of growth */
	uint64_t for_ns;	       /* so long it has to be true before it counts */
	char text[TRIGGER_TEXT_CHARS]; /* as it is written without needless blanks */
};

#define TRIGGER_WHY_CHARS 192

/* 0, or -EINVAL and why: what is wrong with it, and what there is. *ret is as it was then. */
int trigger_parse(const char *text, struct trigger *ret, char why[TRIGGER_WHY_CHARS]);

bool trigger_is_level(enum trigger_kind kind);
/* A word for the name of a file: "rss", "high", "oom". */
const char *trigger_word(enum trigger_kind kind);
