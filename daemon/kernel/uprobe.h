#pragma once
/* uprobe: kernel links from places in a file to our BPF programs, for one process.
 *
 * Three kinds, the best first. Which of them a kernel has is found out by trying.
 *   session  kernel >= 6.13: entry and return in one link; the entry may decline the return
 *   multi    kernel >= 6.6: a link for each entry and each return
 *   perf     a perf event for each entry and each return
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/machine.h"
#include "holder.h"
#include "proto/base/error.h"

enum uprobe_kind { UPROBE_SESSION, UPROBE_MULTI, UPROBE_PERF, UPROBE_KINDS };
const char *uprobe_kind_name(enum uprobe_kind kind);
/* UPROBE_KINDS when there is no such kind. */
enum uprobe_kind uprobe_kind_of_name(const char *name);
/* expected_attach_type that a program of this kind is loaded with: include/uapi/linux/bpf.h */
int uprobe_attach_type(enum uprobe_kind kind);

struct uprobe_site {
	uint64_t file_offset;
	uint64_t cookie;
	bool wants_return;
	/* For programs of ours that execute it themselves: tracer.h. */
	struct dhat_instruction instruction;
};

struct uprobe_programs { /* fds; borrowed */
	int entry;	 /* also the session program */
	int on_return;	 /* unused by sessions */
	/* With sessions, for places whose return nobody wants: of multi links. A session's link may
	 * stand at an entry only. The kernel has one probe for all who probe a place of a file,
	 * asks each of them at each hit, and a session of another process declines nothing: it
	 * makes a return probe of the hit, and writes over the word that the stack pointer points
	 * to. 0: all places are entries. */
	int plain;
};

/* Does this kernel have links of this kind? A program that is loaded for one proves nothing: 6.12
 * loads session programs and refuses the link. Tried on a function of our own that nobody calls. */
int uprobe_try(enum uprobe_kind kind, const struct uprobe_programs *programs,
	       struct dhat_error *err);

/* Attach all sites of one file. path: any name that leads to it now, such as /proc/self/fd/N. Only
 * the process `pid` (as dhatd sees it) will trap. All or nothing: on failure no probe stays. The
 * holder has the links, and lets them go. */
int uprobe_attach(enum uprobe_kind kind, const struct uprobe_programs *programs, pid_t pid,
		  const char *path, const struct uprobe_site *sites, size_t count,
		  struct holder *holder, struct dhat_error *err);
/* What the kernel leaves of uprobe_attach() when that is killed: an offset of a file that the
 * process maps twice (dlmopen) is two places, probed one after the other. A fatal signal between
 * them makes the second fail, and keeps the kernel from taking back the first (holder.h). A guard
 * is links at the same offsets, made before and let go after, that place nothing themselves: perf
 * events that wait for an exec of ours, the others' links of a process that has no memory any more.
 * When they go, the kernel takes out breakpoints there that serve nobody. */
int uprobe_guard(enum uprobe_kind kind, const struct uprobe_programs *programs, const char *path,
		 const struct uprobe_site *sites, size_t count, struct holder *holder);
/* Attach at a place without a program, and let go of it in peace. A breakpoint there that serves
 * nobody, because its tracer was killed while it let go, is removed by that, from all processes
 * that map the file; one that serves somebody stays, and comes back if a debugger wrote over it. If
 * we are killed meanwhile, all is as before. Takes up to a tenth of a second. */
int uprobe_settle(pid_t pid, const char *path, uint64_t file_offset);
