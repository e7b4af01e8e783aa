#pragma once
/* site: a function of an allocator, and the place in it that is chosen for a probe.
 *
 * Plain: chosen in the worker (survey.h), for those who make probes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/machine.h"

/* How the end of a call is to be seen. */
enum site_returns {
	SITE_RETURNS_NOTHING, /* a free: the entry tells all */
	SITE_RETURNS_PROBE,   /* a return probe (or session) at the place is safe */
	SITE_RETURNS_EXITS,   /* probes on exits; see site */
	SITE_RETURNS_RESULTS, /* the entry is not probed: results of the site tell all */
	SITE_RETURNS_UNKNOWN, /* a return probe may harm, and the exits cannot be known. Only from
				 allocators_place(); no site of a survey has it */
};

/* A ret instruction, or a jump to a function that returns its first argument. */
struct site_exit {
	uint64_t file_offset;
	uint8_t result_reg; /* where the function's result is there, numbered as in dhat_cookie */
	uint8_t byte;	    /* the first of the instruction */
	struct dhat_instruction by_us; /* see struct site */
};

/* As daemon/object/machine/result_sites.h says. */
enum site_result_kind {
	SITE_RESULT_HERE,
	SITE_RESULT_BEGIN,
	SITE_RESULT_END,
	SITE_RESULT_ENTRY /* a return probe tells the rest */
};
#define SITE_MAX_RESULTS 48

/* A place at which a block and its size are known, or that leads there. */
struct site_result {
	uint64_t file_offset;
	uint8_t kind; /* enum site_result_kind */
	uint8_t byte; /* the first of the instruction */
	/* as a cookie has them: bpf/dhat_abi.h, DHAT_PHASE_RESULT */
	uint8_t address_reg, size_reg, sp_words, frame_words, condition;
	struct dhat_instruction by_us; /* see struct site */
};

struct site {
	char *function;	    /* its symbol, or what a person named it by */
	char allocator[64]; /* "glibc 2.36", "jemalloc 5.3.0", …: for people only */
	uint8_t role;	    /* enum dhat_role */
	bool has_header;    /* the word before a block is glibc's chunk size */
	bool is_unknown;    /* looks like an allocator's and is in no table: of a newer version */
	bool is_refused;    /* cannot be probed: note says why; allocations go unseen */
	enum site_returns returns;
	uint64_t function_vaddr, function_offset; /* of the entry: link-time, in the file */
	uint64_t function_bytes;		  /* 0: not told */
	/* the place; see probe_place.h */
	uint64_t vaddr, file_offset;
	uint8_t byte; /* the first of the instruction */
	uint8_t sp_words;
	uint8_t arg_reg[3]; /* for the cookie: registers of the role's arguments */
	bool is_emulated, is_repeated;
	/* What is executed by our programs there, where the kernel lets them (bpf/places.h). No
	 * operation: it is the kernel's, which emulates it or steps. */
	struct dhat_instruction by_us;
	char instruction[64]; /* disassembled */
	char note[96];	      /* what is odd about it; else "" */
	/* Where the function may be left, the ways out of those that it tail-calls included. Other
	 * functions may share them: an exit is this call's when the stack pointer is what it was at
	 * the call's entry. Ascending. */
	struct site_exit *exits;
	size_t exit_count;
	/* SITE_RETURNS_RESULTS: the place above is that of the first result; ascending */
	struct site_result *results;
	size_t result_count;
};
#define SITE_MAX_EXITS 512 /* beyond it they cannot all be known */

struct sites {
	struct site *list;
	size_t count;
};
#define SITES_MAX 1024 /* of one kind in a file: object.h bounds its functions */
void sites_deinit(struct sites *sites);

/* Do they hand out blocks, and take them back? */
bool sites_are_whole(const struct sites *sites);
/* Does the file have the bytes that were told, where it would be probed? */
bool sites_are_of(const struct sites *sites, int fd);
