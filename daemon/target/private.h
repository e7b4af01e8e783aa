#pragma once
/* private: the inside of a target; for files of this folder only. */
#include <pthread.h>
#include <stdatomic.h>

#include "copies.h"
#include "daemon/account/collector.h"
#include "daemon/account/doubt.h"
#include "daemon/kernel/tracer.h"
#include "errand.h"
#include "findings.h"
#include "objects.h"
#include "places.h"
#include "proto/base/budget.h"
#include "proto/base/clock.h"
#include "proto/base/texts.h"
#include "target.h"

struct customs;

struct target_doubt {
	struct doubt_frees frees;
	struct doubt_memory memory_begin;
	uint64_t bytes_before; /* all that blocks from before can have been in; 0: from the start */
	bool frees_exceed;     /* more than there can have been blocks from before */
	bool has_own_heap_note;
	bool has_all; /* the blocks from before are all listed, and there are no others' */
	bool is_weighed;
	uint64_t free_bytes; /* of the allocators, when those were listed */
	uint64_t looked_ns, weighed_ns;
};

struct target_probed {
	struct probed shown;
	uint32_t late_allocators;  /* appeared after the observation began */
	uint32_t unseen_functions; /* of allocators: could not be probed */
	uint32_t unread_files;
};

/* Allocators that have no names, and whose code has shown nothing yet: tried again and again. */
struct target_hidden {
	struct hidden_waiting {
		uint32_t object, makers; /* bits, hidden.h */
		unsigned failures;
	} waiting[8];
	size_t count;		      /* beyond the bound they stay hidden */
	uint64_t pause_ns;	      /* between trials; grows */
	atomic_uint_least64_t due_ns; /* CLOCK_MONOTONIC; 0: nothing waits */
};

struct target_figures { /* of the kernel side, as of the last reading */
	uint64_t counters[DHAT_CTR_COUNT], missed_runs;
	uint32_t anchor_gaps;
	uint64_t tick_allocs, tick_frees, tick_others, tick_ns; /* at the last tick */
	double others_per_second;		    /* calls that trap, and are not counted */
	double allocs_per_second, frees_per_second; /* recorded */
	uint64_t tick_unsampled_allocs, tick_unsampled_frees;
	uint64_t tick_bytes; /* allocated: heap_totals.total_bytes */
	double alloc_bytes;  /* of an allocation, on the average; 0: there was none */
	double unsampled_allocs_per_second, unsampled_frees_per_second;
	uint64_t cpu_ns, cpu_read_ns; /* what the process had used, and when that was read */
	double cpu_percent;	      /* of a core; < 0: not known yet */
	/* glance.c's: as of the last one, and what that was all in all */
	uint64_t unknown_frees, unknown_free_bytes, freed_before_bytes;
	/* stacks of the first second, or of what there is of it */
	uint64_t first_stacks, first_whole, first_ns;
};

struct target_life { /* when, and how it ended */
	enum target_state state;
	char detail[64];
	uint64_t since_unix_ns, since_ns, end_ns; /* CLOCK_MONOTONIC but the first */
	bool has_wait_status;
	uint32_t wait_status;
	bool is_out_of_memory; /* the kernel has killed it for that */
	uint64_t child_count;  /* processes it has forked while it was watched */
};

struct target {
	atomic_int references;

	/* attach.c's: as it was attached to */
	struct target_services services;
	struct target_identity identity;
	struct target_options options; /* strings in it are not kept, but for custom */
	struct customs *customs;       /* options.custom, read */
	atomic_uint watch;	       /* target_set_watch() */
	atomic_bool is_kept;	       /* target_set_kept() */
	pid_t pid;
	int pidfd;
	uint32_t ring_bytes;
	enum uprobe_kind kind;
	bool has_seccomp, avoids_return_probes;
	struct guard *guard;   /* `dhatd run`: run.c's; or NULL */
	struct tracer *tracer; /* NULL after the end; freed under map_lock and `lock` */

	/* Who wants `lock` takes `gate` first; the collector gives up both between batches, so that
	 * nobody starves. */
	pthread_mutex_t gate, lock;
	struct heap *heap;
	struct stacks *stacks;
	struct mappings *mappings; /* as of the records taken so far */
	struct collector collector;
	pthread_mutex_t census_lock; /* of whoever counts ages; taken before `lock` */
	/* --max-memory, of heap, stacks and the room for one copy of them, of the kernel's side,
	 * and of unwind tables, in full though others may use them; memory.c's */
	struct budget budget, table_budget;
	uint64_t kernel_bytes, file_bytes;  /* as they were charged last */
	atomic_uint_least64_t copied_bytes; /* by the copies that there are: copy.c */
	uint64_t room_bytes;		    /* target_claim_room(); with `lock` */
	struct target_life life;	    /* events.c's, as is the next */
	struct target_figures figures;
	uint32_t collector_epoch;  /* of the last CHANGE record */
	struct target_doubt doubt; /* doubt.c's */
	bool is_taking_inventory;  /* inventory.c's */
	struct target_steps steps; /* sampling.c's, as is the next */
	uint64_t recorded_blocks;  /* of which the kernel knows; 0: it is told of all frees, or none
				    * is left */
	uint32_t recorded_shift;
	uint32_t not_followed; /* children that were told of: MAX_NOT_FOLLOWED */

	/* One at a time looks after what is mapped. Taken before `lock`. */
	pthread_mutex_t map_lock;
	atomic_bool is_stopped, is_replaced; /* events.c's: see look.c and target_has_exited() */
	atomic_uint_least64_t look_again_ns; /* CLOCK_MONOTONIC; look.c's; 0: no need */
	atomic_bool is_ending; /* set before map_lock is asked for: whoever holds it hurries */
	bool is_finished;      /* probes removed */
	bool is_observed;      /* what is found from now on came late */
	bool has_copied_code;  /* look.c's: before the attach */
	struct target_probed probed; /* probing.c's; `lock`, too, is held for a change */
	struct target_hidden hidden; /* hidden.c's */

	struct errand errands[ERRAND_LANES];

	/* with locks of their own */
	struct objects objects;
	struct places places;
	struct copies copies;
	struct findings findings;
};

/* ages.c: with `lock`, as the last thing that is done for a copy under it: begin; then, without it:
 * count, in pieces. */
int target_begin_ages(struct target *target, struct target_copy *copy, uint32_t points,
		      bool with_pages);
int target_count_ages(struct target *target, struct target_copy *copy);
/* pages.c: the same of pages, as a part of it: what is counted is listed; and then. A note of the
 * copy's tells why it has none. */
int target_begin_pages(struct target *target, struct target_copy *copy, uint32_t points);
int target_count_pages(struct target *target, struct target_copy *copy);

/* With `lock`: what copies, and what is made of them, have left of the budget: memory.c. */
uint64_t target_room_left(const struct target *target);

void target_lock(struct target *target);
/* False: somebody has it, or waits for it. */
bool target_try_lock(struct target *target);
void target_unlock(struct target *target);

/* attach.c: the steps of an attach, for target_attach() and target_run(). The caller unrefs. */
int target_new(pid_t pid, const struct target_options *options,
	       const struct target_services *services, struct target **ret, struct dhat_error *err);
/* Load programs and probe what is mapped now; holder of map_lock. link: see target_options. */
int target_attach_links(struct target *target, const char *link, struct dhat_error *err);
/* The observation begins. */
void target_open(struct target *target);

/* events.c. The profile ends now, if it has not yet; with `lock`. */
void target_close_profile(struct target *target, enum target_state state, const char *detail);
/* Its process has ended: so does the profile, as the wait status says. */
void target_close_ended(struct target *target);
/* Everything that is in the ring, and what comes in meanwhile. */
void target_drain_all(struct target *target);
/* Take what is in the ring now, so that what the target did before this call is accounted. */
void target_drain_now(struct target *target);

/* doubt.c: what there is when the observation begins. */
void target_begin_doubt(struct target *target);
/* Once a second, with `lock`. True: it is to be weighed. */
bool target_look_for_doubt(struct target *target, uint64_t now_ns);
/* What the inventory tells of what there was; has_all: all blocks, and there are no other
 * allocators; free_bytes: what the allocator holds beside. With `lock`. */
void target_doubt_known(struct target *target, uint64_t live_bytes, bool has_all,
			uint64_t free_bytes);

/* inventory.c: before target_open(), so that no free is missed; see inventory.h. */
int target_begin_inventory(struct target *target);

/* glance.c: what watching costs it, in percent of a core; with `lock`. */
void target_price(const struct target *target, struct price *ret);
double target_cost_percent(const struct target *target);
/* glance.c: what it uses of a core. Once a second; with `lock`. */
void target_note_cpu(struct target *target, uint64_t cpu_ns, uint64_t now_ns);

/* memory.c. First: the bound, and the ring that fits in it. */
void target_limit_memory(struct target *target, uint64_t limit_bytes);
/* What was asked for, else the default or, if that is too much of the whole, less. */
uint32_t memory_ring_bytes(uint32_t asked_bytes, uint64_t limit_bytes);
uint32_t memory_max_stacks(uint64_t limit_bytes); /* for tracer_options */
/* The programs are loaded, and nothing is probed: -ENOSPC, they are too much. */
int target_charge_kernel(struct target *target, struct dhat_error *err);
/* The tracer and all tables were given back. With `lock`, once there may be others. */
void target_discharge_kernel(struct target *target);
/* What grows by itself, and is bounded elsewhere: once a second, with `lock`. */
void target_charge_grown(struct target *target);
/* -ENOSPC: there is no room for it. Without `lock`, as the next. */
int target_charge_table(struct target *target, uint64_t bytes, struct dhat_error *err);
void target_discharge_table(struct target *target, uint64_t bytes);
void target_memory(const struct target *target, struct target_memory *ret); /* with `lock` */

/* events.c: the observation begins now. */
void target_begin_life(struct target *target);
/* Bring figures up to date; with `lock`. */
void target_read_counters(struct target *target);

/* look.c: look up what is mapped now; open and describe what is new; probe allocators found.
 * Without tables: they are target_map_work()'s. Holder of map_lock. */
int target_look(struct target *target, struct dhat_error *err);
/* If a probe has stopped it. */
void target_let_go_on(struct target *target);
/* Has the last look failed some time ago? Any thread. */
void target_look_soon(struct target *target); /* within a second or two */
bool target_has_look_due(const struct target *target, uint64_t now_ns);
/* probing.c: probe the allocators of one object, if it has any. */
int target_probe_object(struct target *target, uint32_t object, struct dhat_error *err);
void target_forget_probes(struct target *target);
/* Probe these of an object, if there are any, and remember them. Marks those that cannot be probed
 * where they are mapped. */
int target_probe_sites(struct target *target, uint32_t object, struct sites *sites, uint8_t domain,
		       struct dhat_error *err);
/* hidden.c: allocators in an object (bits, hidden.h) that have no names. By their code, if that can
 * be proven now, before the observation begins: those are taken out of *makers. Others wait for
 * target_try_hidden(). */
int target_probe_by_code(struct target *target, uint32_t object, uint32_t *makers,
			 struct dhat_error *err);
/* Can it be tried at all? */
bool target_may_try(const struct target *target);
/* Is it time for target_try_hidden()? Any thread. */
bool target_has_hidden_due(const struct target *target, uint64_t now_ns);
void target_forget_hidden(struct target *target);
/* What is not counted of those that are left. */
int target_say_hidden(struct target *target, const struct object_slot *slot, uint32_t makers);
/* copied.c: what allocators there are in code that the target has copied before. */
int target_look_at_copied(struct target *target, const struct procmaps *maps);
/* An error, with advice, if nothing has been probed. */
int target_check_found(struct target *target, struct dhat_error *err);
/* care.c: the target's side of places.h and copies.h. Keep what was placed in an object; sites'
 * cookies number the probes. */
int target_remember_places(struct target *target, uint32_t object, const struct uprobe_site *sites,
			   size_t count);
/* Holder of map_lock, as for the next two. */
bool target_is_patched(struct target *target, uint32_t object, uint64_t file_offset);
/* Once no debugger is there any more. */
void target_restore_places(struct target *target);
void target_search_copies(struct target *target, bool all);
/* events.c: what a person should know at once. With no lock. */
void target_tell(struct target *target, const char *text);
/* events.c: its wait status is known: what may have killed it. With no lock. */
void target_explain_end(struct target *target);
/* let go of breakpoints that serve nobody, wherever they are; a note tells. While no
 * probe of ours is in place. */
void target_sweep(struct target *target);
/* Does the object mapped at addr hold probes? */
bool target_probes_in(struct target *target, uint64_t addr);
/* Build or find the tables that are missing, telling the kernel side after each. With until_ns
 * (CLOCK_MONOTONIC), what is large or would be begun later is left for another time. */
void target_get_tables(struct target *target, uint32_t epoch, uint64_t until_ns);
/* Objects, what was probed in them, and what was said of that: as before the first look. */
void target_forget_objects(struct target *target);
