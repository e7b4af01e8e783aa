#pragma once
/* holds: who holds the live blocks of a process, and which are lost.
 *
 * Three answers, never two: held by, unknown, lost. Lost is what no scan has reached, in
 * HOLDS_MIN_SCANS at least, HOLDS_PAUSE_NS apart, until one has dropped no candidate; and only
 * where nothing speaks against it (hazards.h, and what is said in holds.c): each such reason is a
 * sentence. Where the target's threads stand still meanwhile, by wish (standstill.h), one scan is
 * enough. Pointers move while memory is read, so that one scan finds some blocks by nobody's
 * pointer; each further one as many of those again. What is freed or reached after all was no lost
 * block: that is counted by site, here within one answer, and by the book (book.h) from one to the
 * next.
 */
#include "pointer_places.h"
#include "scan_once.h"

#define HOLDS_MIN_SCANS 3
#define HOLDS_MAX_SCANS 10
#define HOLDS_PAUSE_NS 1000000000ull
#define HOLDS_MAX_NS 120000000000ull /* no further scan is begun later */
/* Of the candidates, at the last scan: more than so many dropped, and it is too busy to tell. */
#define HOLDS_BUSY_PERCENT 30
#define HOLDS_MAX_SHORT 1000 /* one byte of so many may be unread */

#define HOLDS_CHAINS 6 /* of a site, the largest ones; the rest is their difference to its sums */

struct holds_sum {
	uint64_t bytes, blocks;
};

struct holds_link {
	uint32_t point;
	struct place place; /* where in its blocks the pointer to the link before stands */
	char *member;	    /* what is there, as the program calls it: ".next"; NULL: not known */
};

struct holds_chain {
	enum reach_level level;
	struct holds_sum held;
	uint64_t entries;    /* words that hold its first link: see reach_chain */
	uint32_t first_link; /* in links: sites, from the holder of the site outwards */
	uint32_t link_count;
	uint32_t root;	     /* in roots */
	bool is_cut;	     /* there are more links */
	uint64_t root_words; /* that lead from the root into the last link */
	struct place self;   /* where in blocks of the site the pointer to the next one stands */
	char *self_member;   /* what is there; NULL: not known */
	char *in_root; /* where in the root the pointer stands: ".buckets", "+16"; NULL: not known
			*/
};

struct holds_cycle { /* of lost blocks */
	struct holds_sum lost;
	uint32_t first_link,
		link_count; /* in links; each points to the next, the last to the first */
	uint32_t length;    /* blocks of the shortest; 1: it points to itself */
	bool is_cut;
};

struct holds_site {
	uint32_t point;
	struct holds_sum held, past, unknown, lost;
	struct holds_sum unseen;	   /* nothing was seen to hold them, but lost is not said */
	struct holds_sum in_cycles, under; /* of the lost ones; the rest nothing points to */
	struct holds_sum inside;   /* of the held ones: only by pointers to further in ... */
	struct place into;	   /* ... to where in them */
	char *type;		   /* of its blocks, as the program calls it; NULL: not known */
	struct holds_sum retained; /* with what only it holds; 0: not known */
	uint64_t withdrawn;	   /* blocks that were said to be lost, and were freed or reached */
	uint32_t first_chain, chain_count;
};

struct holds_root {
	char *name;
	enum reach_class class;
	struct holds_sum retained; /* 0: not known */
};

/* Why one address: what it is, and if it is in a block, the shortest way to it. */
enum holds_answer {
	HOLDS_NO_BLOCK, /* see `place` */
	HOLDS_YOUNG,	/* in a block that was allocated during the last scan: ask again */
	HOLDS_GONE,	/* in a block that was freed during it */
	HOLDS_HELD,
	HOLDS_PAST, /* by a pointer to its end */
	HOLDS_UNKNOWN,
	HOLDS_TAGGED,
	HOLDS_LOST,
	HOLDS_UNSEEN,
};

struct holds_step {	      /* blocks of one site, one behind the other */
	uint64_t addr, bytes; /* of the first */
	uint64_t run;	      /* how many */
	struct holds_link link;
};

#define HOLDS_MAX_STEPS 32

struct holds_why {
	uint64_t addr;
	enum holds_answer answer;
	bool is_root; /* ... there, where a pointer holds */
	char *place;  /* where it is in no block: "global x+16"; NULL: nowhere in its memory */
	uint64_t block, bytes, age_ns;
	uint32_t point;
	/* from its holder outwards; of one that nothing holds: other blocks that point to it */
	struct holds_step steps[HOLDS_MAX_STEPS];
	uint32_t step_count;
	bool is_cut;	      /* there are more */
	char *root, *in_root; /* NULL: none */
};

struct holds { /* as of the last scan */
	atomic_uint references;
	struct holds_site *sites;
	struct holds_chain *chains;
	struct holds_link *links;
	struct holds_cycle *cycles; /* the largest first */
	struct holds_root *roots;
	uint32_t site_count, chain_count, link_count, root_count, cycle_count;
	size_t chain_room, link_room;
	struct holds_sum held, unknown, lost, unseen;
	uint64_t took_ns, last_scan_ns, read_bytes;
	uint64_t first_scan_ns,
		end_ns;	     /* when that began, and the last one ended: CLOCK_MONOTONIC */
	uint64_t stopped_ns; /* for so long the target's threads stood still */
	uint64_t since_ns;   /* all sums are of blocks born since; 0: of all */
	char *since;	     /* the mark's name */
	uint32_t scans;
	uint64_t
		dropped; /* candidates of the first scan that were freed or reached in later ones */
	uint64_t withdrawn;	 /* blocks of all sites, since the watch began */
	char **refusals;	 /* why nothing is called lost; NULL: it may be */
	struct holds_why *why;	 /* NULL: was not asked */
	struct room_share share; /* while it is made */
};

struct holds_book;
struct symbolizer;

struct holds_asking {
	struct target *target;
	struct worker *worker;
	struct symbolizer *symbolizer;
	struct holds_book *book;
	const atomic_bool *stop; /* nobody waits any more */
	const char *since; /* a mark: sums are of what was allocated since; NULL or "": of all */
	uint64_t why;	   /* an address that is asked about; 0: none is */
	bool with_stop;	   /* the target's threads stand still meanwhile: one scan is enough */
	bool is_still;	   /* they do already, and somebody waits */
	/* What is done now, a sentence; not 0: stop. */
	int (*progress)(void *context, const char *text);
	void *context;
};

/* *ret: a reference, as the book keeps one. -EBUSY: one is under way for this target. -ENOSPC: all
 * that it takes meanwhile has to have room in the target's --max-memory. */
int holds_find(const struct holds_asking *asking, struct holds **ret, struct dhat_error *err);
struct holds *holds_ref(struct holds *holds);
void holds_unref(struct holds *holds);
/* Memory that it takes. */
uint64_t holds_bytes(const struct holds *holds);
