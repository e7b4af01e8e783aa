#pragma once
/* preflight: what may go wrong with a target, found out before anything is attached.
 *
 * Looks at /proc only and touches nothing. A hazard that blocks is a reason not to attach, with the
 * exit code that goes with it; the others are told (`dhatctl plan`, notes of a profile).
 */
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/object/elf/object_desc.h"
#include "daemon/object/sites/site.h"
#include "daemon/proc/procmaps.h"
#include "proto/base/error.h"

struct preflight_hazard {
	char name[32];	  /* "seccomp", "32-bit", …; the man page of dhatctl lists them */
	char detail[640]; /* what it means here, and what to do */
	bool is_blocking;
	bool is_partial; /* attached to in spite of it, the numbers would be partial (partial.h) */
	enum dhat_exit code; /* of a blocking one */
	int error;	     /* errno of a blocking one */
};

struct preflight {
	struct preflight_hazard *hazards; /* in the order of looking */
	size_t count;
	bool has_seccomp; /* return probes need the self-test first (selftest.h) */
};

/* All add to *preflight, which starts zeroed, and return 0 or -ENOMEM. */
/* dhatd's own rights, and what the kernel has. */
int preflight_host(struct preflight *preflight);
/* Of which the rights: caps is its effective set, as a mask. Pure. */
int preflight_rights(struct preflight *preflight, unsigned long long caps, bool is_root);
/* The process: is it there, alive, of our machine; seccomp, namespaces, tracers. */
int preflight_process(struct preflight *preflight, pid_t pid);
/* Its executable, and how many allocator functions were found in all its objects together. */
int preflight_executable(struct preflight *preflight, const struct object_desc *executable,
			 const char *path, size_t site_count);
/* The places chosen in one object. */
int preflight_sites(struct preflight *preflight, const struct sites *sites, const char *path);
/* Allocators in it that nothing would be counted of. */
int preflight_hidden(struct preflight *preflight, const struct object_desc *desc, const char *path,
		     uint32_t makers);
/* An object that would be probed: does the process copy its code while it runs (copiers.h)? In the
 * way is that only where the copy is still to be made for sure. */
int preflight_copier(struct preflight *preflight, const struct object_desc *desc, const char *path,
		     pid_t pid, bool from_start);
/* Is it a program for this machine? By the first bytes of its file, of which EI_NIDENT and four
 * more are there. Part of preflight_process(). Pure. */
int preflight_machine(struct preflight *preflight, const Elf64_Ehdr *head, pid_t pid);
/* Is the i-th mapping a copy of what a file has between the mappings before and behind it, or a
 * part of one? In memory of no file, or of a file that is there for that (memfd, huge pages). The
 * mapping before; NULL: it is none. Pure. */
const struct procmaps_entry *preflight_copied_from(const struct procmaps *maps, size_t i);
/* Has it copied some already? */
int preflight_copied(struct preflight *preflight, const struct procmaps *maps);
void preflight_deinit(struct preflight *preflight);

int preflight_add(struct preflight *preflight, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What of the process would not be counted. */
int preflight_partial(struct preflight *preflight, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int preflight_block(struct preflight *preflight, const char *name, int error, enum dhat_exit code,
		    const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The first blocking hazard as an error; 0 if there is none. */
int preflight_verdict(const struct preflight *preflight, struct dhat_error *err);
